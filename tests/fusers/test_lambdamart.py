"""Trees by hand, trees against LightGBM, and a fit that learns what lists are worth."""

from __future__ import annotations

import base64

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput
from engine.fusers import fit_lambdamart as fitting
from engine.fusers.base import CONTRIBUTIONS
from engine.fusers.fit_lambdamart import fit_lambdamart
from engine.fusers.lambdamart import FEATURES, LambdaMart, Trees, features
from engine.pipeline.stages import Fuse, PipelineSpec
from engine.retrievers.bm25 import Bm25
from engine.types import Ranking


def hits(rows):
    asked = Ranking.of([(qid, qid) for qid in dict.fromkeys(row[0] for row in rows)])
    return asked.with_hits(pl.DataFrame(rows, schema=["qid", "doc_id", "score"], orient="row")).hits


# Is feature 0 at most .5? Then 1; else, is feature 4 at most .2? Then 2, else 10. Means: 6 below the right, 4.333 at the root.
BY_HAND = Trees(
    feature=np.array([0, -1, 4, -1, -1]),
    threshold=np.array([0.5, 0, 0.2, 0, 0]),
    left=np.array([1, 0, 3, 0, 0]),
    right=np.array([2, 0, 4, 0, 0]),
    value=np.array([13 / 3, 1, 6, 2, 10]),
    roots=np.array([0]),
)


def test_contributions_follow_the_path_by_hand():
    rows = np.zeros((3, 8))
    rows[1, 0], rows[2, 0], rows[2, 4] = 0.6, 0.6, 0.3
    parts, mean = BY_HAND.attribute(rows)
    assert mean == pytest.approx(13 / 3)
    assert parts[0].tolist() == pytest.approx([1 - 13 / 3, *[0] * 7])
    assert parts[1].tolist() == pytest.approx([6 - 13 / 3, 0, 0, 0, 2 - 6, 0, 0, 0])
    assert (parts[2].sum() + mean) == pytest.approx(10)


def test_features_of_two_lists_by_hand():
    left, right = hits([("q", "a", 4.0), ("q", "b", 2.0)]), hits([("q", "b", 9.0), ("q", "c", 5.0)])
    pairs, rows = features([left, right])
    assert pairs.rows() == [("q", "a"), ("q", "b"), ("q", "c")]
    assert rows[0].tolist() == pytest.approx([1, 1, 1 / 61, 4, 0, -1, 0, 5])
    assert rows[1].tolist() == pytest.approx([0, -1, 1 / 62, 2, 1, 1, 1 / 61, 9])
    assert rows[2].tolist() == pytest.approx([0, -1, 0, 2, 0, -1, 1 / 62, 5])


def test_the_ledger_sums_to_the_trees_output():
    fuser = LambdaMart(inputs=2, trees=BY_HAND.encode())
    left, right = hits([("q", "a", 4.0), ("q", "b", 2.0)]), hits([("q", "a", 9.0), ("q", "c", 5.0)])
    table = fuser.contributions([left, right])
    assert table.schema == CONTRIBUTIONS
    fused = dict(table.group_by("doc_id").agg(pl.col("contribution").sum()).iter_rows())
    assert fused == pytest.approx({"a": 10, "b": 1, "c": 1})


def judged(queries=24, documents=30, seed=2):
    """Two lists: the first is right about relevance, the second is noise."""
    rng = np.random.default_rng(seed)
    good, noise, judgments = [], [], []
    for q in range(queries):
        for d in range(documents):
            relevant = d % 5 == 0
            good.append((f"q{q}", f"d{d}", float(relevant + rng.normal(0, 0.2))))
            noise.append((f"q{q}", f"d{d}", float(rng.normal())))
            judgments.append((f"q{q}", f"d{d}", int(relevant)))
    return hits(good), hits(noise), pl.DataFrame(judgments, schema=["qid", "doc_id", "rating"], orient="row")


def test_a_fit_learns_which_list_to_trust_and_agrees_with_lightgbm(monkeypatch):
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is an optional extra")
    good, noise, judgments = judged()
    boosters = []
    train = lightgbm.train
    monkeypatch.setattr(
        lightgbm, "train", lambda *args, **kwargs: boosters.append(train(*args, **kwargs)) or boosters[-1]
    )
    fits, fit = [], fitting._fit
    monkeypatch.setattr(fitting, "_fit", lambda *args: fits.append(fit(*args)) or fits[-1])
    fitted = fit_lambdamart([good, noise], judgments, folds=3)
    assert len(fits) == 4  # of every fold, and of all
    for trees in fits:
        np.testing.assert_array_equal(trees.roots, Trees.decode(trees.encode()).roots)
    assert fitted.held_out > 0.95
    assert fitted.queries == 24
    assert len(fitted.crossed) == len(rows := features([good, noise])[1])
    assert (
        np.corrcoef(fitted.crossed["score"], Trees.decode(fitted.fuser.trees).attribute(rows)[0].sum(axis=1))[0, 1]
        > 0.8
    )
    _, rows = features([good, noise])
    parts, mean = Trees.decode(fitted.fuser.trees).attribute(rows)
    assert parts.sum(axis=1) + mean == pytest.approx(boosters[-1].predict(rows), abs=1e-9)
    by_list = np.abs(parts).reshape(len(rows), 2, len(FEATURES)).sum(axis=(0, 2))
    assert by_list[0] > 20 * by_list[1]
    spec = PipelineSpec(name="learned", pipeline=Fuse(inputs=(Bm25(), Bm25(k1=2)), method=fitted.fuser))
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    assert fit_lambdamart([good, noise], judgments, folds=3) == fitted


def test_fitting_needs_queries_for_every_fold():
    pytest.importorskip("lightgbm", reason="lightgbm is an optional extra")
    good, noise, judgments = judged(queries=3)
    with pytest.raises(BadInput, match="3 of the queries"):
        fit_lambdamart([good, noise], judgments)
    with pytest.raises(BadInput, match="2 to 5 lists"):
        fit_lambdamart([good], judgments)


def test_an_unfitted_one_says_so():
    with pytest.raises(BadInput, match="not fitted"):
        LambdaMart().contributions([hits([("q", "a", 1.0)]), hits([("q", "a", 1.0)])])
    with pytest.raises(BadInput, match="triptych pipelines fit --lambdamart"):
        LambdaMart().contributions([hits([("q", "a", 1.0)]), hits([("q", "a", 1.0)])])
    with pytest.raises(BadInput, match="fitted for 3 lists"):
        LambdaMart(inputs=3, trees=BY_HAND.encode()).contributions([hits([("q", "a", 1.0)])] * 2)


@pytest.mark.parametrize(
    "table",
    [
        [[0, 0.5, 0, 1, 0], [-1, 0, 0, 0, 1]],  # its own child
        [[0, 0.5, 1, 1, 0], [-1, 0, 0, 0, 1]],  # both children the same
        [[0, 0.5, 1, 9, 0], [-1, 0, 0, 0, 1]],  # beyond the table
        [[8, 0.5, 1, 2, 0], [-1, 0, 0, 0, 1], [-1, 0, 0, 0, 2]],  # a feature that two lists do not have
        [[0, np.nan, 1, 2, 0], [-1, 0, 0, 0, 1], [-1, 0, 0, 0, 2]],
    ],
)
def test_hostile_trees_are_refused(table):
    text = base64.b64encode(np.array(table, "<f8").tobytes()).decode()
    with pytest.raises(ValueError, match="trees"):
        LambdaMart(inputs=2, trees=text)


@pytest.mark.parametrize("text", ["!!!!", BY_HAND.encode() + "!!!!", "AAAA"])
def test_text_that_is_no_table_is_refused(text):
    with pytest.raises(ValueError, match="trees cannot be read"):
        LambdaMart(inputs=2, trees=text)


def test_missing_lightgbm_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lightgbm", None)
    good, noise, judgments = judged(queries=6)
    with pytest.raises(fitting.MissingDependency, match=r"triptych-search\[ltr\]"):
        fit_lambdamart([good, noise], judgments)
