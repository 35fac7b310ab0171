"""A calibrator as a stage: order kept, low hits dropped, everything told in the trace."""

from __future__ import annotations

import polars as pl
import pytest

from engine.calibrators.base import CALIBRATION_NOTE
from engine.calibrators.isotonic import Isotonic
from engine.calibrators.platt import Platt
from engine.errors import BadInput
from engine.explain.why import why_not
from engine.pipeline.context import Context
from engine.pipeline.stages import Cutoff, Fuse
from engine.retrievers.bm25 import Bm25
from engine.testing.contracts import MemoryResources
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


def test_why_not_names_the_threshold_that_dropped_it(tmp_path):
    """For "cat", d1 holds the word alone and d2 among others: BM25 ranks d1 first."""
    texts = {"d1": "cat", "d2": "cat dog bird fish", "d3": "stone"}
    context = Context(MemoryResources(texts, tmp_path))
    first, second = (Bm25().score_documents("cat", context)[0][place] for place in (0, 1))
    steps = Isotonic(scores=(float(second), float(first)), values=(0.125, 0.75), threshold=0.5)
    lost = why_not(Bm25() >> steps, "cat", "d2", 10, context)
    assert lost.verdict == "below_threshold"
    assert lost.sentence == "It was at rank 2, and its estimated relevance of 12.5% is below the threshold of 50.0%."
    assert why_not(Bm25() >> steps, "cat", "d1", 10, context).verdict == "shown"
    assert why_not(Bm25() >> steps, "cat", "d3", 10, context).verdict == "no_shared_term"
    beside = Fuse(inputs=(Bm25(k=1) >> steps, Bm25(k1=2.0, k=2) >> Cutoff(k=1)))
    assert why_not(beside, "cat", "d2", 10, context).sentence == "It was at rank 2 when the list was cut at 1."


def test_nothing_in_nothing_out(ctx):
    empty = Ranking.of([("q1", "one")])
    result, _ = ctx.execute(HIGH_LOW, empty)
    assert result.hits.schema == HITS
    assert result.hits.is_empty()


def test_an_unfitted_calibrator_says_what_to_do(ctx):
    with pytest.raises(BadInput, match="triptych calibrate"):
        ctx.execute(Platt(), ranked())
