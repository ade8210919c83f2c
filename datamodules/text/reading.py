"""Texts of a user: a file of lines, a column of a table, or a string."""

from __future__ import annotations

import os
from pathlib import Path

from datamodules.table_files import check_width, column_index, is_table_file, read_table
from datamodules.text.files import read_lines


class TextReader:
    """What datamodules of texts have in common: how a user's texts are read for prediction."""

    text = "text"
    """Name of the column of texts in a table."""
    encoding: str | None = None
    """Encoding of a table; if None that of its byte order mark, else UTF-8."""
    delimiter: str | None = None
    """Delimiter of a table's cells; guessed if None."""

    def read(self, source: str, column: str | None = None) -> list[str]:
        """Read a text file with one text per line, the column of texts of a table, or the string itself as a text.

        Args:
            source: Path of a file, or a text.
            column: Name of the column of a table; ``text`` of the datamodule if None.

        Raises:
            ValueError: If a table cannot be read or has no such column, or a column is given for what is no table.
        """
        path = Path(source)
        if not is_table_file(source) or not os.path.isfile(source):
            if column is not None:
                raise ValueError(f"column {column!r}: {source[:60]} is no file of a table, such as .csv or .xlsx")
            return read_lines(source)
        name = self.text if column is None else column
        table = read_table(path, (name,), self.encoding, self.delimiter)
        try:
            index = column_index(table, name, path)
        except ValueError as error:
            raise ValueError(f"{error}" if column else f"{error}; choose the column of texts by --column") from None
        for number, cells in table.rows:
            check_width(table, number, cells, index, path)
        return [cells[index] for _, cells in table.rows]
