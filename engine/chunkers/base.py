"""What every chunker offers: long documents as passages, each a range of characters of the text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

from engine.component import Component

Span: TypeAlias = tuple[int, int]
"""[start, end) in characters of the document's text, without its title."""


class Chunker(Component, family="chunkers"):
    """Splits texts into passages. Subclasses implement `split_many`."""

    @abstractmethod
    def split_many(self, titles: Sequence[str], texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order; every character that is not white space is in at least one. A blank text
        has none."""

    def split(self, title: str, text: str) -> list[Span]:
        """The spans of one text."""
        return self.split_many([title], [text])[0]


def passage_text(title: str, text: str, span: Span) -> str:
    """What an encoder reads of a passage: title + ". " + the passage, so that every passage says what it is about."""
    body = text[span[0] : span[1]]
    return f"{title}. {body}" if title else body
