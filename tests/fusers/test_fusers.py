"""Fusion formulas against values worked out by hand."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.component import discover
from engine.errors import BadInput
from engine.fusers.base import CONTRIBUTIONS, Fuser
from engine.fusers.comb_anz import CombAnz
from engine.fusers.comb_max import CombMax
from engine.fusers.comb_mnz import CombMnz
from engine.fusers.comb_sum import CombSum
from engine.fusers.lambdamart import LambdaMart
from engine.fusers.rrf import Rrf
from engine.fusers.wsum import WeightedSum
from engine.pipeline.stages import parse
from engine.types import HITS, Ranking
from tests.fusers.test_lambdamart import BY_HAND


def hits(*pairs: tuple[str, float], qid: str = "q") -> pl.DataFrame:
    return (
        Ranking.of([(qid, "text")])
        .with_hits(
            pl.DataFrame(
                [(qid, d, s) for d, s in pairs],
                schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64},
                orient="row",
            )
        )
        .hits
    )


FITTED = {"lambdamart": LambdaMart(inputs=2, trees=BY_HAND.encode())}
"""What stands in for fusers that do nothing before they are fitted."""
LEFT = hits(("a", 3.0), ("b", 2.0), ("c", 1.0))
RIGHT = hits(("c", 0.9), ("d", 0.5))


def fused(method: Fuser, *lists: pl.DataFrame) -> dict[str, float]:
    table = method.contributions(lists)
    assert table.schema == CONTRIBUTIONS
    return dict(table.group_by("doc_id").agg(pl.col("contribution").sum()).iter_rows())


def test_rrf_adds_reciprocal_ranks():
    assert fused(Rrf(k=60), LEFT, RIGHT) == pytest.approx({"a": 1 / 61, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 62})


def test_rrf_weights_each_list():
    assert fused(Rrf(k=0, weights=(2.0, 1.0)), LEFT, RIGHT) == pytest.approx(
        {"a": 2.0, "b": 1.0, "c": 2 / 3 + 1.0, "d": 0.5}
    )


def test_wsum_min_max():
    # left: a 1, b .5, c 0; right: c 1, d 0
    assert fused(WeightedSum(weights=(0.4, 0.6)), LEFT, RIGHT) == pytest.approx(
        {"a": 0.4, "b": 0.2, "c": 0.6, "d": 0.0}
    )


def test_wsum_z_score_takes_the_absent_at_the_lists_lowest():
    # left: mean 2, sd sqrt(2/3): a +1.2247, b 0, c -1.2247; right: mean .7, sd .2: c +1, d -1
    z = (3 / 2) ** 0.5
    assert fused(WeightedSum(norm="z-score"), LEFT, RIGHT) == pytest.approx(
        {"a": z - 1, "b": -1.0, "c": -z + 1, "d": -z - 1}
    )


def test_wsum_without_normalisation_adds_raw_scores():
    assert fused(WeightedSum(norm="none"), LEFT, RIGHT) == pytest.approx({"a": 3.0, "b": 2.0, "c": 1.9, "d": 0.5})


def test_comb_mnz_multiplies_by_the_number_of_lists():
    # c: (0 + 1) x 2 lists
    assert fused(CombMnz(), LEFT, RIGHT) == pytest.approx({"a": 1.0, "b": 0.5, "c": 2.0, "d": 0.0})


def test_comb_sum_adds_normalised_scores():
    # left: a 1, b .5, c 0; right: c 1, d 0
    assert fused(CombSum(), LEFT, RIGHT) == pytest.approx({"a": 1.0, "b": 0.5, "c": 1.0, "d": 0.0})


def test_comb_anz_divides_by_the_number_of_lists():
    # c: (0 + 1) / 2 lists; the others stand in one list
    assert fused(CombAnz(), LEFT, RIGHT) == pytest.approx({"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.0})


def test_comb_anz_leaves_out_lists_that_lack_the_document():
    # z-scores, left: a +1.2247, b 0, c -1.2247; right: c +1, d -1. Only c is averaged.
    z = (3 / 2) ** 0.5
    expected = {"a": z, "b": 0.0, "c": (-z + 1) / 2, "d": -1.0}
    assert fused(CombAnz(norm="z-score"), LEFT, RIGHT) == pytest.approx(expected)


def test_comb_max_takes_the_largest_and_names_its_list():
    z = (3 / 2) ** 0.5
    assert fused(CombMax(norm="z-score"), LEFT, RIGHT) == pytest.approx({"a": z, "b": 0.0, "c": 1.0, "d": -1.0})
    table = CombMax().contributions([LEFT, RIGHT]).filter(doc_id="c").sort("input")
    assert table["contribution"].to_list() == [0.0, 1.0]
    tied = CombMax().contributions([hits(("a", 1.0)), hits(("a", 7.0))]).sort("input")
    assert tied["contribution"].to_list() == [1.0, 0.0]


def test_comb_max_of_negative_scores_is_not_zero():
    assert fused(CombMax(norm="none"), hits(("a", -3.0)), hits(("a", -2.0), ("b", -1.0))) == {"a": -2.0, "b": -1.0}


def test_a_list_of_equal_scores_counts_as_full_marks_under_min_max():
    assert fused(WeightedSum(), hits(("a", 5.0), ("b", 5.0)), RIGHT) == pytest.approx(
        {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}
    )


@pytest.mark.parametrize("norm", ["z-score", "min-max", "none"])
def test_a_list_without_hits_for_a_query_gives_nothing(norm):
    method = CombSum(norm=norm)
    assert fused(method, LEFT, hits(("a", 9.0), qid="other").clear()) == fused(method, LEFT)


def test_a_list_of_equal_scores_counts_nothing_under_z_scores():
    assert fused(CombSum(norm="z-score"), hits(("a", 5.0), ("b", 5.0))) == {"a": 0.0, "b": 0.0}


def test_formulas_name_the_normalization():
    assert "min-max(score)" in WeightedSum().formula()
    assert "min-max" not in WeightedSum(norm="none").formula()


def test_ranks_and_raw_scores_are_kept_for_the_ledger():
    table = Rrf().contributions([LEFT, RIGHT]).filter(pl.col("doc_id") == "c").sort("input")
    assert table["rank"].to_list() == [3, 1]
    assert table["raw"].to_list() == [1.0, 0.9]
    absent = Rrf().contributions([LEFT, RIGHT]).filter(doc_id="a", input=1)
    assert absent.select("rank", "raw").row(0) == (None, None)


def test_queries_are_fused_apart():
    left = pl.concat([hits(("a", 9.0), ("b", 1.0), qid="x"), hits(("a", 1.0), ("b", 0.5), qid="y")])
    table = WeightedSum().contributions([left, hits(("a", 1.0), ("b", 0.0), qid="x")])
    totals = {(q, d): s for q, d, s in table.group_by("qid", "doc_id").agg(pl.col("contribution").sum()).iter_rows()}
    assert totals == pytest.approx({("x", "a"): 2.0, ("x", "b"): 0.0, ("y", "a"): 1.0, ("y", "b"): 0.0})


@pytest.mark.parametrize("name", sorted(discover("fusers")))
def test_every_fuser_accepts_empty_lists(name):
    method = FITTED.get(name) or parse(("fusers",), name)
    empty = pl.DataFrame(schema=HITS)
    assert method.contributions([empty, empty]).is_empty()
    assert set(method.contributions([LEFT, empty])["doc_id"]) == {"a", "b", "c"}
    assert method.formula()


scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-100, 100).map(lambda x: round(x, 3)), max_size=8)


@pytest.mark.parametrize("name", sorted(discover("fusers")))
@given(left=scores, right=scores)
def test_fusion_covers_the_union_and_never_yields_nan(name, left, right):
    table = (FITTED.get(name) or parse(("fusers",), name)).contributions([hits(*left.items()), hits(*right.items())])
    assert set(table["doc_id"]) == set(left) | set(right)
    assert table["contribution"].is_finite().all()
    assert len(table) == 2 * len(set(left) | set(right))


def test_a_weight_for_every_input():
    with pytest.raises(BadInput, match="3 weights were given for 2 inputs"):
        parse(("stages",), {"fuse": {"inputs": ["cutoff", "cutoff"], "method": {"rrf": {"weights": [1, 2, 3]}}}})


def test_common_scales_tell_a_good_list_from_a_bad_one():
    # left by (0, 4): a .75, b .5, c .25; right by (.4, 2.4): c .25, d .05; absent: 0
    common = WeightedSum(statistics=((0.0, 4.0), (0.4, 2.4)))
    assert fused(common, LEFT, RIGHT) == pytest.approx({"a": 0.75, "b": 0.5, "c": 0.25 + 0.25, "d": 0.05})
    # z: left by (2, 1): a 1, b 0, c -1; right by (.5, .2): c 2, d 0; absent takes the list's lowest (-1 and 0)
    z = CombSum(norm="z-score", statistics=((2.0, 1.0), (0.5, 0.2)))
    assert fused(z, LEFT, RIGHT) == pytest.approx({"a": 1.0, "b": 0.0, "c": -1 + 2, "d": -1.0})


def test_scores_below_the_lowest_seen_count_nothing():
    assert fused(CombSum(statistics=((2.0, 4.0), (0.0, 1.0))), LEFT, RIGHT)["c"] == pytest.approx(0.9)


def test_statistics_for_fewer_lists_are_refused():
    with pytest.raises(BadInput, match="1 statistics"):
        fused(CombSum(statistics=((0.0, 1.0),)), LEFT, RIGHT)
