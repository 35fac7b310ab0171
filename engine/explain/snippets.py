"""Which part of a text to show for a query, and which words in it to mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.indexes.analyzers import Analyzer, Token

WIDTH = 300
"""Characters of a snippet, before it is widened to whole words."""
SEARCHED = 20_000
"""Characters of a document in which a snippet is looked for; longer ones show their best early part."""


def snippet(text: str, query: str, analyzer: Analyzer, width: int = WIDTH) -> list[tuple[str, bool]]:
    """The densest window of `text` as (piece, matched) runs; its beginning where nothing matches. Adds … where it cuts."""
    text = text[:SEARCHED]
    terms = {token.term for token in analyzer.tokens(query)}
    found = [token for token in analyzer.tokens(text) if token.term in terms] if terms else []
    start = _best_start(found, width)
    end = min(len(text), start + width)
    start, end = _to_words(text, start, end)
    pieces = mark(
        text[start:end], [(t.start - start, t.end - start) for t in found if t.start >= start and t.end <= end]
    )
    if start > 0:
        pieces.insert(0, ("… ", False))
    if end < len(text):
        pieces.append((" …", False))
    return pieces


def mark(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[str, bool]]:
    """Cut text into (piece, marked) runs at the given spans; overlapping and adjacent spans are joined."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in _joined(sorted(spans)):
        if start > at:
            pieces.append((text[at:start], False))
        pieces.append((text[start:end], True))
        at = end
    if at < len(text):
        pieces.append((text[at:], False))
    return pieces


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif end > start:
            joined.append((start, end))
    return joined


def _best_start(found: Sequence[Token], width: int) -> int:
    """Where the window with the most distinct terms starts (then most matches, then earliest), with a little text before it."""
    best, start = (0, 0), 0
    left = 0
    counts: dict[str, int] = {}
    for right, token in enumerate(found):
        counts[token.term] = counts.get(token.term, 0) + 1
        while token.end - found[left].start > width - 40:
            gone = found[left].term
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
            left += 1
            if left > right:
                break
        score = (len(counts), right - left + 1)
        if score > best:
            best, start = score, found[left].start
    return max(0, start - 40) if start > width // 2 else 0


def _to_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Move both ends to white space, where there is some near."""
    if start > 0:
        space = text.find(" ", start, start + 40)
        start = space + 1 if space >= 0 else start
    if end < len(text):
        space = text.rfind(" ", end - 40, end)
        end = space if space > start else end
    return start, end
