"""Words between two languages, serialised as JSON."""

from __future__ import annotations

import json
from typing import NamedTuple


class WordList(NamedTuple):
    """Words without white space, and the two languages they are of or between, by ISO 639-3 code."""

    source: str
    target: str
    words: list[str]

    @property
    def json(self) -> str:
        """The list as JSON."""
        content = {"source": self.source, "target": self.target, "words": " ".join(self.words)}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, json_: str, what: str) -> WordList:
        """Return the list of a JSON string.

        Raises:
            ValueError: If it is none; the message says that it is no ``what``.
        """
        try:
            content = json.loads(json_)
            return cls(str(content["source"]), str(content["target"]), content["words"].split())
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(f"not {what}: expected JSON with source, target and words") from None
