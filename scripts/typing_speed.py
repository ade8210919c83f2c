"""Time the completions of a language model as texts are typed, on one core.

python scripts/typing_speed.py
python scripts/typing_speed.py lstm_language_model.aeslc --ckpt_path best --keys 1000
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from zoo.prediction import load_model

TYPED = 40
"""Number of characters that are typed of a text. Set by hand."""
WRITTEN = 200
"""Largest number of characters that stand before them. Set by hand."""
WARMING = 20
"""Number of keys whose time does not count. Set by hand."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("recipe", nargs="?", default="lstm_language_model.tinyshakespeare")
    parser.add_argument("--ckpt_path", metavar="PATH|best|last", help="checkpoint instead of the shipped weights")
    parser.add_argument("--keys", type=int, default=1_000, help="number of keys that are typed, from validation texts")
    parser.add_argument("--completions", type=int, default=5, help="number of completions after each key")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model, data = load_model(args.recipe, args.ckpt_path)
    found = data.text_splits()["val"]
    texts = [found] if isinstance(found, str) else [getattr(each, "text", each) for each in found]
    texts = [text for text in texts if len(text) > TYPED]
    draw = np.random.default_rng(0)
    seconds: list[float] = []
    while len(seconds) < args.keys + WARMING:
        text = texts[draw.integers(len(texts))]
        first = int(draw.integers(len(text) - TYPED))
        session = model.typing()
        for end in range(first + 1, first + TYPED + 1):
            begin = time.process_time()  # of one thread: other processes do not count
            session.complete(text[max(0, first - WRITTEN) : end], args.completions)
            seconds.append(time.process_time() - begin)
    counted = 1000 * np.array(seconds[WARMING : args.keys + WARMING])
    middle, slow = np.quantile(counted, [0.5, 0.9])
    print(f"{args.recipe}: {args.completions} completions after each of {args.keys} keys, {TYPED} of a text")
    print(f"median {middle:.1f} ms, 90th percentile {slow:.1f} ms, longest {counted.max():.1f} ms, one core")


if __name__ == "__main__":
    main()
