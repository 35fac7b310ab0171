"""Fit calibrators to judgments and say what they are worth on queries that they have not seen.

Every number that is reported comes from queries held out of the fit: the queries are dealt into folds, each fold is calibrated by what was
fitted to the others, and its threshold is chosen on those others alone (where a map's order depends on the query, from probabilities that
are cross-fitted among them in turn, because such a map looks too good on what it was fitted to).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import polars as pl

from engine.calibrators.base import Calibrator, Pool, Vectors, pooled
from engine.errors import BadInput
from engine.kernels.calibration import Floats, Reliability, Sums, auc, logit, reliability, resamples, sigmoid
from engine.types import Ints, Mask, Progress, ProgressSink, Ranking, ignore_progress

FOLDS = 5
SEED = 17
SAMPLES = 1_000
AUC_SAMPLES = 200  # each sorts all hits; its interval needs no more
Wish = Literal["precision", "recall", "best", "results"]
WISHES = {
    "precision": "at least this share of what is kept is relevant",
    "recall": "at least this share of the relevant hits is kept",
    "best": "at least this share of the answerable queries keeps its best document",
    "results": "at most this many results a query, on average",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a threshold should achieve, e.g. Target("recall", 0.9)."""

    wish: Wish
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """From "recall>=0.9", "precision>=0.5", "best>=0.9" or "results<=10". Raises BadInput."""
        for wish in get_args(Wish):
            sign = "<=" if wish == "results" else ">="
            name, found, value = text.replace(" ", "").partition(sign)
            if found and name == wish:
                try:
                    return cls(wish, float(value)).checked()
                except ValueError:
                    break
        known = ", ".join(f"{wish}{'<=10' if wish == 'results' else '>=0.9'}" for wish in WISHES)
        raise BadInput(f"{text!r} is no target for a threshold. Write one like {known}.")

    def checked(self) -> Target:
        """This target. Raises BadInput where its value makes no sense."""
        top = np.inf if self.wish == "results" else 1.0
        if not 0 < self.value <= top:
            raise BadInput(f"The target {self.label()} lies outside 0 … {top:g}.")
        return self

    def label(self) -> str:
        return f"{self.wish} {'≤' if self.wish == 'results' else '≥'} {self.value:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A pool with what is known of it.

    relevant: bool [hits]; best: bool [hits], relevant and of the highest rating that the query's list holds; answerable: bool [queries],
    whether the collection has any relevant document for the query.
    """

    qids: tuple[str, ...]
    pool: Pool
    relevant: Mask
    best: Mask
    answerable: Mask

    def of_queries(self, chosen: Mask) -> Judged:
        """The part of some queries, bool [queries]."""
        pool, hits = self.pool.of_queries(chosen)
        qids = tuple(qid for qid, wanted in zip(self.qids, chosen, strict=True) if wanted)
        return Judged(qids, pool, self.relevant[hits], self.best[hits], self.answerable[chosen])


def judged_pool(ranking: Ranking, judgments: pl.DataFrame, *, rating: int = 1) -> Judged:
    """The hits of judged queries. judgments: qid, doc_id, rating; rating: from which on a document counts as relevant.

    Unjudged hits count as non-relevant, as in every measure that is not told otherwise; queries without any judgment are left out.
    Raises BadInput where no query is judged.
    """
    known = ranking.queries.filter(pl.col("qid").is_in(judgments["qid"].unique().to_list()))
    if not len(known):
        raise BadInput("None of these queries is judged; calibration is fitted to judgments.")
    asked = Ranking(known, ranking.hits.filter(pl.col("qid").is_in(known["qid"].to_list())))
    hits, pool = pooled(asked)
    rated = hits.join(
        judgments.select("qid", "doc_id", "rating"), on=["qid", "doc_id"], how="left", maintain_order="left"
    )
    grades = rated["rating"].fill_null(0).to_numpy()
    highest = np.zeros(len(known), np.int64)
    np.maximum.at(highest, pool.query, grades)
    relevant = grades >= rating
    with_some = judgments.filter(pl.col("rating") >= rating)["qid"].unique().to_list()
    answerable = known["qid"].is_in(with_some).to_numpy()
    return Judged(tuple(known["qid"]), pool, relevant, relevant & (grades == highest[pool.query]), answerable)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure on held-out queries with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What one calibrator is worth. `probabilities` are held out (float64 [hits], as `kept`, bool); `calibrator` is fitted to all queries,
    with a threshold from held-out probabilities. Shares are None where there is no such query."""

    calibrator: Calibrator
    probabilities: Floats
    kept: Mask
    reliability: Reliability
    measures: dict[str, Estimate]
    best_kept: float | None
    """The share of answerable queries that keep a document of their highest rating among the hits."""
    emptied: float | None
    """The share of queries without any relevant document whose list becomes empty."""
    results: float
    """Hits kept for a query, on average."""
    fold_thresholds: tuple[float, ...] = field(default=())


def calibrate(
    judged: Judged,
    methods: Sequence[Calibrator],
    vectors: Vectors,
    target: Target,
    *,
    folds: int = FOLDS,
    seed: int = SEED,
    progress: ProgressSink = ignore_progress,
) -> list[Calibration]:
    """Fit each method and measure it by cross-validation over the queries; the same for equal arguments.

    Raises BadInput on fewer queries than folds, or where a fold leaves nothing to learn from, and what `progress` raises.
    """
    queries = len(judged.qids)
    if folds < 2 or queries < 2 * folds:
        raise BadInput(
            f"{queries} judged queries cannot be dealt into {folds} folds of two or more; judge more queries, or take fewer folds."
        )
    fold = deal(judged.answerable, folds, seed)
    done = 0
    found = []
    for method in methods:
        probabilities, kept, thresholds = np.zeros(len(judged.relevant)), np.zeros(len(judged.relevant), bool), []
        for number in range(folds):
            progress(Progress("calibrate", done, len(methods) * (folds + 1), "fits"))
            done += 1
            train, hits = judged.of_queries(fold != number), fold[judged.pool.query] == number
            fitted = fit(method, train, vectors, target, folds, seed)
            p = fitted.probabilities(judged.pool.of_queries(fold == number)[0], vectors)
            probabilities[hits], kept[hits] = p, p >= fitted.threshold
            thresholds.append(fitted.threshold)
        progress(Progress("calibrate", done, len(methods) * (folds + 1), "fits"))
        done += 1
        final = fit(method, judged, vectors, target, folds, seed)
        found.append(_measured(final, judged, probabilities, kept, tuple(thresholds)))
    progress(Progress("calibrate", done, done, "fits"))
    return found


def fit(
    method: Calibrator, judged: Judged, vectors: Vectors, target: Target, folds: int = FOLDS, seed: int = SEED
) -> Calibrator:
    """The method fitted to all of these queries, its threshold chosen on probabilities that no judgment of the same query has shaped, where
    judgments shape the order at all."""
    tuned = method.tuned(judged.pool, judged.relevant, vectors)
    fitted = tuned.fit(judged.pool, judged.relevant, vectors)
    if fitted.one_for_all or not fitted.needs_judgments:
        # The order is that of the scores, or blind to judgments: holding queries out would not change where to cut it.
        crossed = fitted.probabilities(judged.pool, vectors)
    else:
        crossed = cross_fitted(tuned, fitted, judged, vectors, folds, seed)
    return fitted.model_copy(update={"threshold": threshold_for(target, crossed, judged)})


def cross_fitted(
    method: Calibrator, fitted: Calibrator, judged: Judged, vectors: Vectors, folds: int = FOLDS, seed: int = SEED
) -> Floats:
    """float64 [hits]: each query's probabilities from a fit to the queries of the other folds, on the scale of the one fitted to all.

    Maps fitted to different queries promise more or less all over, so one threshold would cut each fold at another depth. Each is therefore
    shifted and stretched in log-odds until its mean and deviation on the hits that both were fitted to are those of `fitted`.
    """
    fold = deal(judged.answerable, min(folds, len(judged.qids)), seed)
    goal = logit(fitted.probabilities(judged.pool, vectors))
    result = np.zeros(len(judged.relevant))
    for number in range(int(fold.max()) + 1):
        train, hits = judged.of_queries(fold != number), fold[judged.pool.query] == number
        teachable = train.relevant.any() and not train.relevant.all()
        teacher = train if teachable else judged  # too few queries to hold any out: better an optimistic map than none
        odds = logit(method.fit(teacher.pool, teacher.relevant, vectors).probabilities(judged.pool, vectors))
        seen = ~hits if teachable else np.ones_like(hits)
        spread = odds[seen].std()
        stretch = goal[seen].std() / spread if spread > 0 else 1.0
        result[hits] = sigmoid((odds[hits] - odds[seen].mean()) * stretch + goal[seen].mean())
    return result


def deal(answerable: Mask, folds: int, seed: int = SEED) -> Ints:
    """int64 [queries]: the fold of each query, shuffled; queries without an answer are spread evenly, because there are few."""
    shuffled = np.random.default_rng(seed).permutation(len(answerable))
    ordered = shuffled[np.argsort(answerable[shuffled], kind="stable")]
    fold = np.empty(len(answerable), np.int64)
    fold[ordered] = np.arange(len(answerable)) % folds
    return fold


def threshold_for(target: Target, p: Floats, judged: Judged) -> float:
    """The threshold in [0, 1] that meets the target on these hits and keeps as much as it can (for "recall" and "best": drops as much as it can).

    A precision that no threshold reaches gives the threshold of the highest precision; hits of probability 1 are never dropped.
    """
    if not len(p):
        return 0.0
    if target.wish == "recall":
        return _keeping(target.value, np.sort(p[judged.relevant])[::-1])
    if target.wish == "best":
        queries = len(judged.qids)
        top = np.full(queries, -np.inf)
        np.maximum.at(top, judged.pool.query[judged.best], p[judged.best])
        has = np.isfinite(top)
        return _keeping(target.value * int(judged.answerable.sum()) / max(int(has.sum()), 1), np.sort(top[has])[::-1])
    order = np.argsort(-p, kind="stable")
    values = p[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # hits of equal probability are kept together
    count = last + 1
    if target.wish == "results":
        allowed = last[count <= target.value * len(judged.qids)]
        return float(values[allowed[-1]]) if len(allowed) else float(min(1.0, np.nextafter(values[0], 2)))
    precision = np.cumsum(judged.relevant[order])[last] / count
    good = np.flatnonzero(precision >= target.value)
    return float(values[last[good[-1] if len(good) else int(np.argmax(precision))]])


def _keeping(share: float, descending: Floats) -> float:
    """The highest threshold that keeps this share of the values."""
    wanted = int(np.ceil(share * len(descending) - 1e-9))
    return float(descending[min(wanted, len(descending)) - 1]) if wanted > 0 and len(descending) else 0.0


def _measured(
    calibrator: Calibrator, judged: Judged, p: Floats, kept: Mask, thresholds: tuple[float, ...]
) -> Calibration:
    queries = len(judged.qids)
    sums = Sums.of(p, judged.relevant, judged.pool.query, queries, kept)
    drawn = resamples(queries, SAMPLES, SEED)
    all_once = np.ones((1, queries))
    points, spread = sums.measures(all_once), sums.measures(drawn)
    points["AUC"] = auc(p, judged.relevant, judged.pool.query, all_once)
    spread["AUC"] = auc(p, judged.relevant, judged.pool.query, drawn[:AUC_SAMPLES])
    keeps_best, keeps_any = np.zeros(queries, bool), np.zeros(queries, bool)
    keeps_best[judged.pool.query[kept & judged.best]] = True
    keeps_any[judged.pool.query[kept]] = True
    return Calibration(
        calibrator=calibrator,
        probabilities=p,
        kept=kept,
        reliability=reliability(p, judged.relevant),
        measures={name: _estimate(float(points[name][0]), spread[name]) for name in points},
        best_kept=_share(keeps_best[judged.answerable]),
        emptied=_share(~keeps_any[~judged.answerable]),
        results=float(kept.sum() / queries),
        fold_thresholds=thresholds,
    )


def _estimate(value: float, spread: Floats) -> Estimate:
    known = spread[np.isfinite(spread)]
    if not np.isfinite(value) or not len(known):
        return Estimate(None, None, None)
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _share(flags: Mask) -> float | None:
    return float(flags.mean()) if len(flags) else None
