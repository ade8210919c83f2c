"""Command line of the scripts that draw figures: which ones, and where to."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

FIGURES = Path(__file__).parent / "figures"


def save_figures(draw: Mapping[str, Callable[[], Figure]], description: str | None, **settings: Any) -> None:
    """Draw the figures named on the command line, all if none is, and save each as ``<output>/<name>.png``.

    Args:
        draw: Functions that draw the figures, by name.
        description: Description of the script.
        **settings: Arguments of ``Figure.savefig``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures out of {', '.join(draw)}; all if none")
    parser.add_argument("--output", type=Path, default=FIGURES, help="folder of the figures")
    args = parser.parse_args()
    for name in args.names:
        if name not in draw:
            parser.error(f"unknown figure {name!r}: choose from {', '.join(draw)}")
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.names or draw:
        draw[name]().savefig(args.output / f"{name}.png", **settings)
        print(args.output / f"{name}.png")
