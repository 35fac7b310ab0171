"""How much two rankings agree, without judgments: Jaccard@k and rank-biased overlap."""

from __future__ import annotations

from collections.abc import Sequence


def jaccard(left: Sequence[str], right: Sequence[str], k: int) -> float:
    """Shared share of the two first-k sets; 1.0 when both are empty."""
    a, b = set(left[:k]), set(right[:k])
    return len(a & b) / len(a | b) if a | b else 1.0


def rbo(left: Sequence[str], right: Sequence[str], p: float = 0.9) -> float:
    """Extrapolated rank-biased overlap of two duplicate-free lists, 0..1 (Webber, Moffat and Zobel, TOIS 2010, equation 32).

    Handles lists of different length; two empty lists agree fully, an empty and a non-empty one not at all.
    """
    if not 0 < p < 1:
        raise ValueError("p lies between 0 and 1")
    short, long = sorted((list(left), list(right)), key=len)
    s, n = len(short), len(long)
    if n == 0:
        return 1.0
    if s == 0:
        return 0.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    overlap, overlap_at_s = 0, 0
    total = 0.0
    for depth in range(1, n + 1):
        new_long = long[depth - 1]
        seen_long.add(new_long)
        if depth <= s:
            new_short = short[depth - 1]
            seen_short.add(new_short)
            overlap += int(new_short in seen_long) + int(new_long in seen_short) - int(new_short == new_long)
            overlap_at_s = overlap
        else:
            overlap += int(new_long in seen_short)
            total += p**depth * overlap_at_s * (depth - s) / (s * depth)
        total += p**depth * overlap / depth
    tail = ((overlap - overlap_at_s) / n + overlap_at_s / s) * p**n
    return (1 - p) / p * total + tail
