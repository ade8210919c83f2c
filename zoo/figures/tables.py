"""Tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a cell is one line, whose vertical bars are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(" | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) for line in lines)
