"""What several assessors make of the same documents: agreement beyond chance, and which judgment counts where they disagree."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

import polars as pl

RULES = ("latest", "majority", "median")
DEFAULT_RULE = "latest"


def cohen_kappa(left: Sequence[Hashable], right: Sequence[Hashable]) -> float | None:
    """Agreement of two assessors on the same items beyond what their own frequencies give by chance (Cohen 1960): 1 in full, 0 by chance.

    None without items, and where both gave one and the same rating to everything, for then chance alone would agree.
    """
    n = len(left)
    if n == 0 or n != len(right):
        return None
    observed = sum(a == b for a, b in zip(left, right, strict=True)) / n
    mine, theirs = Counter(left), Counter(right)
    chance = sum(count * theirs[rating] for rating, count in mine.items()) / n**2
    return None if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def fleiss_kappa(ratings: Sequence[Sequence[Hashable]]) -> float | None:
    """Agreement of several assessors beyond chance (Fleiss 1971). ratings: for each item the ratings it got, the same number (2 or more) for each.

    None without items, and where every rating is the same.
    """
    if not ratings:
        return None
    raters = len(ratings[0])
    if raters < 2 or any(len(given) != raters for given in ratings):
        return None
    totals: Counter[Hashable] = Counter()
    observed = 0.0
    for given in ratings:
        counts = Counter(given)
        totals.update(counts)
        observed += (sum(count * count for count in counts.values()) - raters) / (raters * (raters - 1))
    observed /= len(ratings)
    chance = sum((count / (len(ratings) * raters)) ** 2 for count in totals.values())
    return None if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def _latest(ratings: Sequence[int]) -> int:
    return ratings[-1]


def _majority(ratings: Sequence[int]) -> int:
    """The most frequent rating; of equally frequent ones the lowest, so that a document counts as relevant only where most say so."""
    counts = Counter(ratings)
    most = max(counts.values())
    return min(rating for rating, count in counts.items() if count == most)


def _median(ratings: Sequence[int]) -> int:
    """The middle rating; of two middle ones the lower."""
    return int(statistics.median_low(ratings))


_SETTLED: Mapping[str, Callable[[Sequence[int]], int]] = {"latest": _latest, "majority": _majority, "median": _median}


def settle(judgments: pl.DataFrame, rule: str) -> pl.DataFrame:
    """qid, doc_id, rating: one row for each pair, by query and document. judgments: qid, doc_id, rating, in the order given."""
    rows = judgments.select("qid", "doc_id", "rating")
    if rule == "latest" or not rows.select("qid", "doc_id").is_duplicated().any():
        return rows.unique(["qid", "doc_id"], keep="last").sort("qid", "doc_id")
    grouped = rows.group_by("qid", "doc_id", maintain_order=True).agg("rating")
    settled = [_SETTLED[rule](ratings) for ratings in grouped["rating"].to_list()]
    return grouped.with_columns(pl.Series("rating", settled, dtype=pl.Int32)).sort("qid", "doc_id")
