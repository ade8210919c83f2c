"""What the commands show on the screen, besides their answers."""

from __future__ import annotations

import sys
from typing import Any

from zoo.errors import printable


def quiet() -> None:
    """Keep the libraries' hints to their developers off a user's screen."""
    import logging
    import warnings

    import lightning  # noqa: F401  it sets its loggers' levels when it is imported

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    for package in ("zoo", "datamodules"):
        warnings.filterwarnings("default", module=package)
    warnings.showwarning = warn_in_one_line


def warn_in_one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning in one line, without the code that gave it."""
    print(f"zoo: {' '.join(str(message).split())}", file=sys.stderr)


def say(text: str) -> None:
    """Show what a datamodule says of its data."""
    print("\n".join(map(printable, text.split("\n"))) + "\n", flush=True)


def show_table(title: str, rows: dict[str, Any]) -> None:
    """Show values by name under a title."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for key, value in rows.items():
        table.add_row(key, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
