"""Time the annotation and the report of a day: 24 hours of two leads, put together from test recordings.

python scripts/annotate_a_day.py
"""

import resource
import tempfile
import time

import numpy as np

import zoo
from datamodules import MITBIHDataModule
from datamodules.ecg.records import Record
from zoo.prediction.ecg_files import DEFAULT_FORMATS, answer_files, write_answers_of

HOURS, FS = 24, 360


def main() -> None:
    recordings = [record.signal for record in MITBIHDataModule().recordings((103, 113, 119, 200, 223, 231))]
    signal = np.concatenate(recordings)
    samples = HOURS * 3_600 * FS
    signal = np.tile(signal, (samples // len(signal) + 1, 1))[:samples]
    model = zoo.create_model("ecg_classifier.mitbih", pretrained=True)
    start = time.perf_counter()
    found = model.annotate(signal, FS)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        files = answer_files(folder, "day", DEFAULT_FORMATS)
        write_answers_of(files, Record("day", signal, FS, ["MLII", "V1"]), found)
        size = files["html"].stat().st_size / 1e6
    writing = time.perf_counter() - start - seconds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{HOURS} h, {len(found.sample):,} beats: {seconds:.1f} s, detection included; peak memory {memory:.1f} GiB")
    print(f"files: {writing:.1f} s, {size:.1f} MB of HTML")


if __name__ == "__main__":
    main()
