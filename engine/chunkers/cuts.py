"""Where a text may be cut: pure functions of a string, for text without sentences that fit."""

from __future__ import annotations

import unicodedata

SENTENCE_ENDS = frozenset("。！？｡।॥؟۔።…!?\n")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")  # zero-width joiner, variation selectors
_LONGEST_CLUSTER = 64


def best_cut(text: str, low: int, high: int) -> int:
    """A position in (low, high] at which text[low:high] is best ended: behind a sentence end, else at white space, else
    between clusters.

    Sentence ends and white space count only in the last half, so that a piece is never shorter than half of what was
    allowed.
    """
    middle = (low + high) // 2
    for position in range(high, middle, -1):
        if text[position - 1] in SENTENCE_ENDS:
            return position
    for position in range(high, middle, -1):
        if text[position - 1].isspace() or (position < len(text) and text[position].isspace()):
            return position
    for position in range(high, max(low, high - _LONGEST_CLUSTER), -1):
        if not splits_cluster(text, position):
            return position
    return high


def splits_cluster(text: str, position: int) -> bool:
    """Whether a cut before text[position] would separate a base character from its marks, joiners, modifiers or other
    surrogate."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if after.isascii():
        return before == "\r" and after == "\n"
    return (
        unicodedata.category(after)[0] == "M"
        or after in _JOINERS
        or before == "\u200d"
        or "\udc00" <= after <= "\udfff"
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\u1160" <= after <= "\u11ff"  # Hangul vowels and finals that join the syllable before
        or _second_of_flag(text, position)
    )


def _second_of_flag(text: str, position: int) -> bool:
    """Whether text[position] is the second half of a pair of regional indicators."""
    first = position
    while first > 0 and "\U0001f1e6" <= text[first - 1] <= "\U0001f1ff":
        first -= 1
    return "\U0001f1e6" <= text[position] <= "\U0001f1ff" and (position - first) % 2 == 1


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at either side; (start, start) where nothing else is in it."""
    body = text[start:end]
    left = len(body) - len(body.lstrip())
    return (start, start) if left == len(body) else (start + left, start + len(body.rstrip()))
