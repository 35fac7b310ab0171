"""A calibrator as a stage: order kept, low hits dropped, everything told in the trace."""

from __future__ import annotations

import polars as pl
import pytest

from engine.calibrators.base import CALIBRATION_NOTE
from engine.calibrators.isotonic import Isotonic
from engine.calibrators.platt import Platt
from engine.context import Context
from engine.errors import BadInput
from engine.testing import MemoryResources
from engine.types import HITS, Ranking

HIGH_LOW = Isotonic(scores=(1.0, 2.0, 3.0), values=(0.1, 0.4, 0.8))


def ranked():
    asked = Ranking.of([("q1", "one"), ("q2", "two")])
    rows = [("q1", "z", 3.0), ("q1", "a", 2.9999), ("q1", "m", 1.0), ("q2", "b", 2.0), ("q2", "c", 0.5)]
    return asked.with_hits(pl.DataFrame(rows, schema=["qid", "doc_id", "score"], orient="row"))


@pytest.fixture
def ctx(tmp_path):
    return Context(MemoryResources({}, tmp_path))


def test_scores_become_probabilities_and_the_order_stays(ctx):
    flat = Isotonic(scores=(0.0, 9.0), values=(0.25, 0.25))
    result, root = ctx.execute(flat, ranked())
    assert result.hits.select("qid", "doc_id").rows() == ranked().hits.select("qid", "doc_id").rows()
    assert result.hits["score"].to_list() == pytest.approx([0.25] * 5, abs=1e-9)
    note = root.details[CALIBRATION_NOTE]
    assert note.columns == ["qid", "doc_id", "rank", "score", "probability", "kept"]
    assert note["score"].to_list() == [3.0, 2.9999, 1.0, 2.0, 0.5]


def test_hits_below_the_threshold_are_dropped_but_told(ctx):
    result, root = ctx.execute(HIGH_LOW.model_copy(update={"threshold": 0.4}), ranked())
    assert result.hits.select("qid", "doc_id").rows() == [("q1", "z"), ("q1", "a"), ("q2", "b")]
    note = root.details[CALIBRATION_NOTE]
    assert note.filter(~pl.col("kept"))["doc_id"].to_list() == ["m", "c"]
    assert note["probability"].to_list() == pytest.approx([0.8, 0.79996, 0.1, 0.4, 0.1])


def test_nothing_in_nothing_out(ctx):
    empty = Ranking.of([("q1", "one")])
    result, _ = ctx.execute(HIGH_LOW, empty)
    assert result.hits.schema == HITS
    assert result.hits.is_empty()


def test_an_unfitted_calibrator_says_what_to_do(ctx):
    with pytest.raises(BadInput, match="triptych calibrate"):
        ctx.execute(Platt(), ranked())
