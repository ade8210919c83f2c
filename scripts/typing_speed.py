"""Time the completions of a language model as a text is typed, on one core.

python scripts/typing_speed.py
python scripts/typing_speed.py --recipe lstm_language_model.tinyshakespeare --prompts 200
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import zoo

TYPED = (20, 120)
"""Fewest and most characters of a prompt. Set by hand."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--recipe", default="lstm_language_model.tinyshakespeare")
    parser.add_argument("--prompts", type=int, default=100, help="number of prompts from validation texts")
    parser.add_argument("--completions", type=int, default=5, help="number of completions of each")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = zoo.create_model(args.recipe, pretrained=True)
    text = zoo.load_recipe(args.recipe).datamodule().text_splits()["val"]
    draw = np.random.default_rng(0)
    seconds = []
    for start in draw.integers(0, len(text) - TYPED[1], args.prompts + 3).tolist():
        prompt = text[start : start + int(draw.integers(*TYPED))]
        begin = time.perf_counter()
        model.complete(prompt, args.completions)
        seconds.append(time.perf_counter() - begin)
    middle, slow = 1000 * np.quantile(seconds[3:], [0.5, 0.9])  # the first ones warm up
    prompts = f"{args.prompts} prompts of {TYPED[0]} to {TYPED[1]} characters"
    print(f"{args.recipe}: {args.completions} completions of {prompts}")
    print(f"median {middle:.0f} ms, 90th percentile {slow:.0f} ms, one core")


if __name__ == "__main__":
    main()
