"""What a pipeline's calibrate stage said of its hits: probabilities for the cards, and the hits that it dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from app.results.search import Calibrated, Card
from engine.calibrators.base import CALIBRATION_NOTE, Calibrator
from engine.pipeline.stages import Then
from engine.pipeline.trace import Span


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """A calibrator as it ran on one query. told: doc_id, rank, probability, kept; best first, dropped hits included."""

    calibrator: Calibrator
    told: pl.DataFrame

    def probabilities(self) -> dict[str, float]:
        """Of every hit that the calibrator received."""
        return dict(self.told.select("doc_id", "probability").iter_rows())

    def dropped(self, most: int) -> list[tuple[str, int, float]]:
        """The first hits below the threshold: (doc_id, rank before anything was dropped, probability)."""
        below = self.told.filter(~pl.col("kept")).head(max(0, most))
        return list(below.select("doc_id", "rank", "probability").iter_rows())

    def shown(self, ratings: Mapping[str, int], cards: Callable[[list[tuple[str, int, float]]], tuple[Card, ...]], most: int) -> Calibrated:  # fmt: skip
        """For the page; `cards` makes the cards of at most `most` dropped hits."""
        relevant = [doc_id for doc_id, rating in ratings.items() if rating > 0]
        return Calibrated(
            label=self.calibrator.label(),
            threshold=self.calibrator.threshold,
            probabilities=tuple(self.told["probability"]),
            relevant=tuple(self.told.filter(pl.col("doc_id").is_in(relevant))["probability"]),
            dropped=cards(self.dropped(most)) if most > 0 else (),
        )


def estimates(root: Span) -> Estimates | None:
    """Those of the last calibrate stage that all hits of a run passed; None where there is none.

    A calibrator inside one input of a fusion saw other scores than those of the final list, and is not asked.
    """
    spans = root.children if isinstance(root.stage, Then) else [root]
    for span in reversed(spans):
        if isinstance(span.stage, Calibrator):
            told: pl.DataFrame = span.details[CALIBRATION_NOTE]
            return Estimates(span.stage, told.sort("rank"))
    return None
