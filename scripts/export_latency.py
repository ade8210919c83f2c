"""Time exported networks in onnxruntime beside torch, with the same number of threads, and print a Markdown table.

python scripts/export_latency.py --threads 2

The time of a call is the median of the repeats, in milliseconds; torch and onnxruntime take turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

import zoo

RECIPES = (
    "mlp.mnist",
    "lenet5.mnist",
    "cnn.mnist",
    "lstm_classifier.sst2",
    "ecg_classifier.mitbih",
    "denoising_autoencoder.flickr8k",
)
BATCHES = (1, 64)
SIDE, LENGTH = 112, 24
"""Height and width of photographs, and number of tokens of a text, about that of the longer ones of SST-2."""


def network_inputs(model: Any, n: int) -> list[Tensor]:
    """Return random inputs of the network, of a usual size."""
    example = model.example_input_array
    parts = list(example.values()) if isinstance(example, dict) else [example]
    if not parts[0].is_floating_point():
        return [torch.randint(4, model.hparams["vocab_size"], (n, LENGTH))]
    if getattr(model, "any_size", False):
        return [torch.rand(n, parts[0].shape[1], SIDE, SIDE)]
    return [torch.rand(n, *part.shape[1:]) for part in parts]


def time_calls(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the median time of each call in milliseconds."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(repeats + repeats // 10 + 1):
        for call, found in zip(calls, times):
            start = time.perf_counter()
            call()
            if number > repeats // 10:  # the first calls allocate memory
                found.append(1_000 * (time.perf_counter() - start))
    return [statistics.median(found) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=50)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    print(f"| recipe | batch | torch {torch.__version__}, ms | onnxruntime {onnxruntime.__version__}, ms | ratio |")
    print("|---|---|---|---|---|")
    for name in args.recipes:
        model = zoo.create_model(name, pretrained=True)
        with tempfile.TemporaryDirectory() as folder:
            [file] = zoo.export_model(name, Path(folder) / "model.onnx")
            session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        for n in BATCHES:
            inputs = network_inputs(model, n)
            feed = {each.name: x.numpy() for each, x in zip(session.get_inputs(), inputs)}
            with torch.inference_mode():
                calls = [partial(model.net, *inputs), partial(session.run, None, feed)]
                ours, theirs = time_calls(calls, args.repeats)
            print(f"| `{name}` | {n} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.1f} |", flush=True)


if __name__ == "__main__":
    main()
