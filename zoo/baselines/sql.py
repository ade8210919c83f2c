"""Execution accuracy of SQL queries, and the nearest training question as a baseline."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.text.sql import join_sql, normalize_sql, sql_tokens

SECONDS = 5.0
"""Time limit of a query. Set by hand."""
MOST_ROWS = 100_000
"""Largest number of rows of a result. Set by hand."""
ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
"""What a query may do; attaching files, pragmas and writing are refused."""


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an SQLite database for reading queries alone.

    The file is opened read-only, and anything but ``SELECT`` is refused, such as ``ATTACH``, ``PRAGMA`` and loading of
    extensions.

    Args:
        path: Path of the database.
    """
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:

        def authorize(action: int, _: Any, name: Any, *__: Any) -> int:
            refused = action not in ALLOWED or str(name).lower() in ("load_extension", "zeroblob", "randomblob")
            return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

        connection.set_authorizer(authorize)
        yield connection


def run_query(connection: sqlite3.Connection, query: str, seconds: float = SECONDS) -> list[tuple[Any, ...]] | None:
    """Run a query and return its rows, with numbers rounded to 9 significant digits.

    Args:
        connection: A connection of ``read_only``.
        query: The query; strings between double quotes are read as strings, not as names.
        seconds: Time limit.

    Returns:
        The rows; None for a query that fails, exceeds the limit of time or has more than ``MOST_ROWS`` rows.
    """
    limit = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > limit, 10_000)
    try:
        rows = connection.execute(_with_single_quotes(query)).fetchmany(MOST_ROWS + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError):
        return None
    finally:
        connection.set_progress_handler(None, 0)
    return [tuple(map(_rounded, row)) for row in rows] if len(rows) <= MOST_ROWS else None


def same_answer(
    found: Sequence[tuple[Any, ...]] | None, annotated: Sequence[tuple[Any, ...]] | None, ordered: bool
) -> bool:
    """Return whether two results are equal as lists of rows if ``ordered``, else as multisets; None equals nothing."""
    if found is None or annotated is None:
        return False
    return list(found) == list(annotated) if ordered else Counter(found) == Counter(annotated)


def is_ordered(query: str) -> bool:
    """Return whether a query orders its own result: has ``ORDER BY`` outside of parentheses and strings."""
    depth, quoted = 0, False
    for token in sql_tokens(query):
        quoted ^= token == '"'
        if not quoted:
            depth += (token == "(") - (token == ")")
            if depth == 0 and token.upper() == "ORDER":
                return True
    return False


def score_queries(found: Sequence[str], annotated: Sequence[str], database: Path) -> dict[str, float]:
    """Score predicted queries by their results on a database.

    Args:
        found: Predicted queries.
        annotated: Annotated queries, as many.
        database: Path of the SQLite database.

    Returns:
        ``test_execution``, the share of queries with the result of the annotated one, see ``same_answer``; a query that
        fails is wrong, unless it is the annotated one, as some are not in SQLite's dialect. ``test_exact``, the share
        of queries that equal the annotated one, see ``normalize_sql``. ``test_execution_answered`` and
        ``test_execution_empty``, ``test_execution`` of the questions whose annotated result has rows and of those where
        it has none or fails (0 without such a question); a wrong query may have no rows too. ``test_empty_share``, the
        share of the latter. ``test_failed``, the share of predicted queries that fail.
    """
    with read_only(database) as connection:
        wanted = [run_query(connection, query) for query in annotated]
        given = [run_query(connection, query) for query in found]
    exact = np.array([normalize_sql(a) == normalize_sql(b) for a, b in zip(found, annotated, strict=True)])
    same = [same_answer(a, b, is_ordered(query)) for a, b, query in zip(given, wanted, annotated)]
    right, empty = exact | np.array(same), np.array([not rows for rows in wanted])

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else 0.0

    return {
        "test_execution": mean(right),
        "test_exact": mean(exact),
        "test_execution_answered": mean(right[~empty]),
        "test_execution_empty": mean(right[empty]),
        "test_empty_share": mean(empty),
        "test_failed": mean(np.array([rows is None for rows in given])),
    }


def execution(model: Any, data: Any) -> dict[str, float]:
    """Scores of the model's queries of the test questions, by beam search; see ``score_queries``."""
    questions, queries = data.sentences("test")
    return score_queries(model.translate(questions), queries, data.database)


def nearest_question(model: Any, data: Any, *, with_values: bool = False) -> dict[str, float]:
    """Scores of the query of the most similar training question, see ``score_queries``.

    The similarity is the cosine of the TF-IDF of words, or of words and pairs of them, whichever has the higher
    execution accuracy in validation. With values, questions are compared with symbols for the values that they name,
    as the model reads them, and the query has the values of the question that is asked.

    Args:
        model: The model, which is not used.
        data: The datamodule.
        with_values: Whether the values of the question that is asked are put into the query.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    values = data.database_values
    known, stored = data.masked("train") if with_values else data.sentences("train")

    def score(longest: int, part: str) -> dict[str, float]:
        questions, queries = data.sentences(part)
        masked = [values.mask(question) for question in questions]
        asked = [each.text for each in masked] if with_values else questions
        weighting = TfidfVectorizer(ngram_range=(1, longest), token_pattern=r"\S+", sublinear_tf=True)
        memory = weighting.fit_transform(known)
        rows = np.asarray((weighting.transform(asked) @ memory.T).argmax(1)).ravel()
        found = [stored[row] for row in rows]
        if with_values:
            found = [values.unmask(query, each.values) for query, each in zip(found, masked)]
        return score_queries(found, queries, data.database)

    best = max((1, 2), key=lambda longest: score(longest, "val")["test_execution"])
    return score(best, "test")


def _with_single_quotes(query: str) -> str:
    parts = join_sql(sql_tokens(query)).split('"')
    return "".join(f"'{part.replace(chr(39), chr(39) * 2)}'" if k % 2 else part for k, part in enumerate(parts))


def _rounded(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, (int, float)) else value
