"""ColBERT-PRF on texts whose clusters and rarities can be counted by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput
from engine.feedback.base import QUERIES_NOTE, Example, NewQuery
from engine.feedback.colbert import ColbertPrf, _clustered
from engine.pipeline.context import Context
from engine.testing.contracts import HashTokenEncoder, MemoryResources
from engine.types import Ranking

TEXTS = {"a": "red apple", "b": "red car", "c": "red apple pie", "d": "green car", "e": "pie crust"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(MemoryResources(TEXTS, tmp_path, HashTokenEncoder()))


def asked(stage: ColbertPrf, ctx: Context, query: str, *doc_ids: str) -> NewQuery:
    rows = ctx.rows(stage.index_spec(), pl.Series(doc_ids, dtype=pl.String))
    return stage.new_query(query, [Example(doc_id, 1.0, rows[doc_id]) for doc_id in doc_ids], ctx)


def test_the_rarest_words_of_the_first_hits_are_added(ctx: Context) -> None:
    """Every word is one vector, so every word of "red apple pie" is a cluster; 2 of 5 texts hold pie and apple, 3 hold red."""
    stage = ColbertPrf(expansions=2, beta=0.5)
    new = asked(stage, ctx, "fruit", "c")
    rarity = math.log(6 / 3)
    assert new.terms == pytest.approx({"apple": 0.5 * rarity, "pie": 0.5 * rarity})
    assert new.names[0] == "fruit"
    assert set(new.names[1:]) == {"apple", "pie"}
    assert new.documents == {"c": 1.0}
    assert new.parts is not None
    encoder = HashTokenEncoder()
    own = encoder.encode_queries(["fruit", *new.names[1:]]).vectors
    np.testing.assert_allclose(new.parts, own * [[1], [0.5 * rarity], [0.5 * rarity]], atol=0.01)
    all_three = asked(ColbertPrf(beta=1), ctx, "fruit", "c")
    assert all_three.terms == pytest.approx({"apple": rarity, "pie": rarity, "red": math.log(6 / 4)})


def test_a_cluster_is_named_by_the_token_nearest_to_its_center() -> None:
    """The center of the three is (0.6, 0.533): 0.6, 0.8 and 0.533 of it lie in their directions."""
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    centers, ids, owners = _clustered(vectors, np.array([7, 8, 9], np.int32), 1)
    np.testing.assert_allclose(centers, [[0.6, 1.6 / 3]], rtol=1e-6)
    assert (ids.tolist(), owners.tolist()) == ([8], [0, 0, 0])


def test_equal_tokens_of_several_documents_share_a_cluster(ctx: Context) -> None:
    new = asked(ColbertPrf(expansions=1, beta=1), ctx, "fruit", "a", "c")
    numbers = dict(zip(("apple", "pie"), HashTokenEncoder().encode_queries(["apple pie"]).ids.tolist(), strict=True))
    assert list(new.terms) == [min(numbers, key=lambda word: numbers[word])], "of equally rare ones the lower token"
    assert new.documents == {"a": 0.0, "c": 1.0}, "pie stands in one of the two"
    pie = asked(ColbertPrf(expansions=10, beta=1), ctx, "fruit", "a", "c")
    assert pie.documents == pytest.approx({"a": 2 / 5, "c": 3 / 5}), "2 and 3 of the 5 tokens in the clusters"


def test_the_new_score_is_the_old_one_plus_what_was_added(ctx: Context) -> None:
    stage = ColbertPrf(beta=2)
    new = asked(stage, ctx, "green", "c")
    index = stage.open_index(ctx)
    plain = index.scores(stage.query_vectors("green", ctx))
    added = np.zeros(5)
    for word, weight in new.terms.items():
        vector = HashTokenEncoder().encode_queries([word]).vectors
        added += weight * index.scores(vector)
    np.testing.assert_allclose(stage.exact_scores(new, ctx), plain + added, atol=0.02)
    told = stage.explain_row(new, 2, ctx)
    assert told.exact
    assert [weight.term for weight in told.weights][1:] == [f"{word} → {word}" for word in new.names[1:]]
    assert told.score == pytest.approx(float(stage.exact_scores(new, ctx)[2]), abs=1e-5)
    assert sum(weight.weight for weight in told.weights) == pytest.approx(told.score)
    pie = next(weight for weight in told.weights if weight.term == "pie → pie")
    assert (pie.start, pie.end) == (10, 13)


def test_without_hits_or_without_weight_it_is_the_query_itself(ctx: Context) -> None:
    assert asked(ColbertPrf(beta=1), ctx, "green").names == ("green",)
    nothing = asked(ColbertPrf(beta=0), ctx, "green car", "a")
    assert nothing.terms == {}
    assert nothing.documents == {"a": 1.0}
    np.testing.assert_array_equal(nothing.parts, ColbertPrf(beta=1).query_vectors("green car", ctx))


def test_it_finds_what_the_query_alone_does_not(ctx: Context) -> None:
    first = Ranking.of([("q", "apple")])
    hits = pl.DataFrame({"qid": ["q"], "doc_id": ["c"], "score": [1.0]})
    found, span = ctx.execute(ColbertPrf(documents=1, k=3, beta=1), first.with_hits(hits))
    assert found.hits["doc_id"].to_list()[:2] == ["c", "a"]
    assert "pie" in span.details[QUERIES_NOTE]["q"].terms
    assert "e" in found.hits["doc_id"].to_list(), "the crust comes in through its pie"


def test_models_without_token_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a vector for each token"):
        ColbertPrf(beta=1).encoder(Context(MemoryResources(TEXTS, tmp_path)))
