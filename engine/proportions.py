"""Votes: intervals of a share, and whether two sides differ. Standard library only."""

from __future__ import annotations

import math
from statistics import NormalDist

from engine.errors import BadInput


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): it stays within 0 and 1 and holds for few votes, and for none it is (0, 1)."""
    if not 0 < level < 1:
        raise BadInput(f"The level of an interval lies between 0 and 1; got {level}.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = successes / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p that wins and losses come from a fair coin; ties are left out beforehand. 1 without votes."""
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / float(2**n))
