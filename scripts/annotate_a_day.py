"""Time the annotation of a day: 24 hours of two leads, put together from test recordings, from samples to symbols.

python scripts/annotate_a_day.py
"""

import resource
import time

import numpy as np

import zoo
from datamodules import MITBIHDataModule

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
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{HOURS} h, {len(found.sample):,} beats: {seconds:.1f} s, detection included; peak memory {memory:.1f} GiB")


if __name__ == "__main__":
    main()
