"""SQL queries as tokens, and the values of a database that a question names."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datamodules.text.entity_masks import NAMES, Masked

SQL_TOKEN = re.compile(
    r"\"[^\"]*\"|'(?:[^']|'')*'|[^\W\d]\w*\.(?=[^\W\d])|[^\W\d]\w*|\d+(?:\.\d+)?|<=|>=|<>|!=|\|\||[^\s\w]"
)
"""A quoted string, the name of a table with its full stop, a name or keyword, a number, or an operator."""
WORD = re.compile(r"[^\W_]+")
QUOTE = '"'
FOREIGN_KEY = 0.9
"""Share of the values of a column that another column has, from which on it refers to that one. Set by hand."""


def sql_tokens(query: str) -> list[str]:
    """Divide a query into tokens: names, keywords, numbers, operators, and the words of strings between quotes.

    Args:
        query: The query, such as ``SELECT a.X FROM T AS a WHERE a.Y = "new york"``.

    Returns:
        Tokens, such as ``SELECT``, ``a.``, ``X``, and ``"``, ``new``, ``york``, ``"``.
    """
    tokens: list[str] = []
    for match in SQL_TOKEN.finditer(query):
        token = match.group()
        if len(token) > 1 and token[0] in "\"'":
            tokens += [QUOTE, *token[1:-1].replace("''", "'").split(), QUOTE]
        else:
            tokens.append(token)
    return tokens


def join_sql(tokens: Iterable[str]) -> str:
    """Write tokens as a query, the inverse of ``sql_tokens`` up to spaces and quotes."""
    pieces: list[str] = []
    string: list[str] | None = None
    for token in tokens:
        if token == QUOTE:
            if string is None:
                string = []
                continue
            token, string = f"{QUOTE}{' '.join(string)}{QUOTE}", None
        elif string is not None:
            string.append(token)
            continue
        if pieces and pieces[-1][-1] == "." and len(pieces[-1]) > 1:
            pieces[-1] += token
        else:
            pieces.append(token)
    return " ".join(pieces + ([QUOTE, *string] if string is not None else []))


def normalize_sql(query: str) -> str:
    """Return a query without what does not change its meaning: spaces, case outside of strings, and the last ``;``."""
    found = [part if k % 2 else part.upper() for k, part in enumerate(join_sql(sql_tokens(query)).split(QUOTE))]
    return QUOTE.join(found).rstrip("; ")


def question_words(question: str) -> list[str]:
    """Return the words and numbers of a question in lower case, in Unicode NFKC and without punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", question).lower())


class DatabaseValues:
    """Entity masks of questions about a database: symbols that stand for the values that a question names.

    The longest sequences of words of a question that are a value of the database are replaced by the names of the
    columns that have the value and a symbol, the same for the same value: ``what is the capital of new york`` becomes
    ``what is the capital of city_name state_name`` and the symbol. What a value means, here the state, is left to the
    network, which writes the symbol in its query. The look-up uses the question alone. The object is serialised in the
    attribute ``json``.

    Args:
        json_: Serialised values, such as ``DatabaseValues.json``.

    Raises:
        ValueError: If the string is not serialised values.
    """

    symbols = NAMES
    """Words that a query has only where its question has them."""
    no_repeat = 0
    """Default length in tokens of phrases that no query has twice; 0 for no such rule."""
    longest: int | None = None
    """Largest number of tokens of a query; None for that of a question."""

    def __init__(self, json_: str) -> None:
        try:
            columns = {str(name): [str(value) for value in values] for name, values in json.loads(json_).items()}
        except (ValueError, TypeError, AttributeError):
            raise ValueError("not serialised values of a database: expected JSON with the values of columns") from None
        self.columns = list(columns)
        self.json = json_
        self._known: dict[tuple[str, ...], tuple[str, list[str]]] = {}
        for name, values in columns.items():
            for value in values:
                self._known.setdefault(tuple(question_words(value)), (value, []))[1].append(name)
        self._known.pop((), None)
        self._longest = max(map(len, self._known), default=0)

    @classmethod
    def of_columns(cls, columns: Mapping[str, Iterable[str]]) -> DatabaseValues:
        """Select the values that are looked up from those of all columns.

        Values without letters are not looked up, nor columns that refer to another, such as ``border`` to
        ``state_name``, nor values that are another one and the noun of its column: ``arkansas river`` is ``arkansas``
        of ``river_name``.

        Args:
            columns: Values by name of the column.
        """
        texts = {name: {value for value in values if WORD.search(value) and not _is_number(value)}
                 for name, values in columns.items()}  # fmt: skip
        kept = {name: values for name, values in texts.items() if values and not _refers(name, texts)}
        nouns = {f"{value} {name.removesuffix('_name')}" for name, values in kept.items() for value in values}
        return cls(json.dumps({name: sorted(kept[name] - nouns) for name in sorted(kept)}, ensure_ascii=False))

    @classmethod
    def of_database(cls, path: Path) -> DatabaseValues:
        """Read the values of the text columns of an SQLite database.

        Raises:
            ValueError: If the file is no SQLite database.
        """
        columns: dict[str, set[str]] = {}
        try:
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (table,) in tables:
                    for _, column, *_ in connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall():
                        rows = connection.execute(f"SELECT DISTINCT {_quoted(column)} FROM {_quoted(table)}")
                        columns.setdefault(column.lower(), set()).update(x for (x,) in rows if isinstance(x, str))
        except sqlite3.Error as error:
            raise ValueError(f"{path}: not an SQLite database ({error})") from None
        return cls.of_columns(columns)

    def mask(self, question: str) -> Masked:
        """Return the words of a question with column names and symbols for values, as far as there are symbols."""
        words, parts, at = question_words(question), [], 0
        symbols: dict[str, str] = {}
        while at < len(words):
            size = next((n for n in range(self._longest, 0, -1) if tuple(words[at : at + n]) in self._known), 0)
            value, columns = self._known.get(tuple(words[at : at + size]), ("", []))
            if size and (value in symbols or len(symbols) < len(NAMES)):
                parts += [*columns, symbols.setdefault(value, NAMES[len(symbols) % len(NAMES)])]
                at += size
            else:
                parts.append(words[at])
                at += 1
        return Masked(" ".join(parts), {symbol: value for value, symbol in symbols.items()})

    @staticmethod
    def mask_sql(query: str, values: Mapping[str, str]) -> str:
        """Return the tokens of a query, joined by spaces, with symbols for the strings that are one of the values."""
        symbols = {value.lower(): symbol for symbol, value in values.items()}
        text = " ".join(sql_tokens(query))
        parts = text.split(QUOTE)
        for k in range(1, len(parts), 2):
            symbol = symbols.get(parts[k].strip().lower())
            parts[k] = f" {symbol} " if symbol else parts[k]
        return QUOTE.join(parts)

    @staticmethod
    def unmask(answer: str, values: Mapping[str, str]) -> str:
        """Return the query of tokens joined by spaces, with values in place of their symbols."""
        return join_sql(values.get(token, token) for token in answer.split())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.,]+", value) is not None


def _refers(name: str, columns: Mapping[str, set[str]]) -> bool:
    """Return whether nearly all values of a column are in another one, which has more."""
    own = columns[name]
    others: Sequence[set[str]] = [values for other, values in columns.items() if other != name]
    return any(len(values) > len(own) and len(own & values) >= FOREIGN_KEY * len(own) for values in others)


@functools.lru_cache(maxsize=16)
def database_values_from_json(json_: str) -> DatabaseValues:
    """Return the values of a JSON string, parsed once."""
    return DatabaseValues(json_)
