"""What tests share: tiny deterministic fakes, and the contract that every component of a family must keep.

Third parties call the same contracts on their own components; each takes a specification and an empty folder and raises
AssertionError.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine.chunkers.base import Chunker
from engine.encoders.base import Encoder
from engine.expanders.base import Expander, Models
from engine.feedback.base import QUERIES_NOTE, Feedback, NewQuery
from engine.fusers.base import CONTRIBUTIONS, Fuser
from engine.metrics.base import Metric, mark, parse_metric
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec, Stage
from engine.rerankers.base import RERANK_NOTE, Reranker
from engine.retrievers.base import Retriever, document_scores
from engine.retrievers.bm25 import Bm25
from engine.rewriters.base import REWRITTEN_NOTE, Rewriter
from engine.selectors.base import SELECTION_NOTE, Selector
from engine.testing.fakes import SENTENCES, HashEncoder, HashTermEncoder, HashTokenEncoder, OverlapScorer, fake_encoder
from engine.testing.families import check_family
from engine.testing.indexes import RECALL_SAMPLE, check_index, query_rows
from engine.testing.memory import MemoryResources, MemorySource, sentences
from engine.types import HITS, QUERIES, Progress, Ranking

__all__ = [
    "RECALL_SAMPLE",
    "SENTENCES",
    "HashEncoder",
    "HashTermEncoder",
    "HashTokenEncoder",
    "MemoryResources",
    "MemorySource",
    "OverlapScorer",
    "check_chunker",
    "check_encoder",
    "check_expander",
    "check_family",
    "check_feedback",
    "check_fuser",
    "check_index",
    "check_metric",
    "check_reranker",
    "check_retriever",
    "check_rewriter",
    "check_selector",
    "check_stage",
    "fake_encoder",
    "query_rows",
    "sentences",
]


def check_fuser(method: Fuser) -> None:
    """The contract of the fusers family: the union, finite contributions, nulls for absence, queries apart, empty
    lists."""

    def hits(*rows: tuple[str, str, float]) -> pl.DataFrame:
        scored = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
        return Ranking.of([("p", "one"), ("q", "two")]).with_hits(scored).hits

    left = hits(("p", "a", 3.0), ("p", "b", 2.0), ("q", "a", 1.0))
    right = hits(("p", "b", 0.9), ("p", "c", -0.5))
    table = method.contributions([left, right])
    assert table.schema == CONTRIBUTIONS
    pairs = table.select("qid", "doc_id").unique().sort("qid", "doc_id").rows()
    assert pairs == [("p", "a"), ("p", "b"), ("p", "c"), ("q", "a")], "every document of any list, and no other"
    assert len(table) == 2 * len(pairs), "one row for each document and list"
    assert table["contribution"].is_finite().all()
    absent = table.filter(pl.col("raw").is_null()).select("qid", "doc_id", "input").sort("qid", "doc_id").rows()
    assert absent == [("p", "a", 1), ("p", "c", 0), ("q", "a", 1)]
    assert table.filter(pl.col("raw").is_null() != pl.col("rank").is_null()).is_empty()
    alone = method.contributions([left.filter(qid="q"), right.filter(qid="q")])
    together = table.filter(qid="q")
    assert alone.sort("input").equals(together.sort("input")), "a query's fusion does not depend on other queries"
    empty = pl.DataFrame(schema=HITS)
    assert method.contributions([empty, empty]).is_empty()
    assert set(method.contributions([left, empty])["doc_id"]) == {"a", "b"}
    assert method.formula()
    assert type(method).model_validate(method.model_dump()) == method


def check_retriever(retriever: Retriever, folder: Path, encoder: Any = None) -> None:
    """The contract of the retrievers family: best documents first, k, filters, empty queries, exact scores and
    explanations that agree."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    encoder = encoder or fake_encoder(retriever.index_spec().kind)
    resources = MemoryResources(texts, folder, encoder)
    queries = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "   ")])
    asked = retriever.model_copy(update={"k": 6})
    found, span = Context(resources).execute(asked, queries)
    assert found.queries.equals(queries.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}, "an empty query finds nothing"
    assert found.hits["rank"].max() == 6
    assert span.returned == len(found.hits)

    for qid, text in (("1", "scientific papers"), ("2", "nearest neighbors graph")):
        scores, rows = asked.score_documents(text, Context(resources))
        order = sorted(range(40), key=lambda d: (-scores[d], f"d{d}"))
        best = [(f"d{d}", scores[d]) for d in order if not (asked.needs_match and scores[d] <= 0)][:6]
        got = list(found.hits.filter(qid=qid).select("doc_id", "score").iter_rows())
        np.testing.assert_allclose([score for _, score in got], [score for _, score in best], rtol=1e-4, atol=1e-5)
        first = int(got[0][0][1:])
        told = asked.explain_row(text, int(rows[first]), Context(resources))
        assert abs(told.score - got[0][1]) < 1e-3, "the explanation is of the score that was given"
        if told.exact and told.weights:
            assert abs(sum(w.weight for w in told.weights) - told.score) < 1e-3, "an exact explanation adds up"

    allowed = np.arange(40) % 3 == 0
    filtered, _ = Context(resources, allowed).execute(asked, queries)
    assert len(filtered.hits)
    assert all(int(doc_id[1:]) % 3 == 0 for doc_id in filtered.hits["doc_id"])
    nothing, _ = Context(resources, np.zeros(40, bool)).execute(asked, queries)
    assert nothing.hits.is_empty()
    check_stage(asked)


def check_feedback(feedback: Feedback, folder: Path, encoder: Any = None) -> None:
    """The contract of the feedback family: it searches the whole index with a query that it shows and can explain;
    filters, k, empty queries."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    encoder = encoder or fake_encoder(feedback.index_spec().kind)
    resources = MemoryResources(texts, folder, encoder)
    asked = feedback.model_copy(update={"k": 6, "documents": 3})
    queries = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "   ")])
    first = pl.DataFrame(
        [("1", "d0", 3.0), ("1", "d5", 2.0), ("1", "d7", 1.0), ("1", "d11", 0.5), ("1", "gone", 0.1)],
        schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64},
        orient="row",
    )
    context = Context(resources)
    found, span = context.execute(asked, queries.with_hits(first))
    assert found.queries.equals(queries.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}, "a query without hits is searched as it is, an empty one finds nothing"
    assert found.hits["rank"].max() == 6
    searched: dict[str, NewQuery] = span.details[QUERIES_NOTE]
    assert set(searched) == {"1", "2"}
    assert list(searched["1"].documents) == ["d0", "d5", "d7"], "as many of the first hits as it was told, best first"
    assert (searched["2"].documents, searched["2"].original) == ({}, 1)
    assert list(searched["1"].terms.values()) == sorted(searched["1"].terms.values(), reverse=True)

    for qid, query in searched.items():
        row_scores = asked.exact_scores(query, context)
        scores, rows = document_scores(asked.index_spec(), row_scores, context)
        order = sorted(range(40), key=lambda d, s=scores: (-s[d], f"d{d}"))  # type: ignore[misc]
        best = [scores[d] for d in order if not (asked.needs_match and scores[d] <= 0)][:6]
        got = list(found.hits.filter(qid=qid).select("doc_id", "score").iter_rows())
        np.testing.assert_allclose([score for _, score in got], best, rtol=1e-4, atol=1e-5)
        told = asked.explain_row(query, int(rows[int(got[0][0][1:])]), context)
        assert abs(told.score - got[0][1]) < 1e-3, "the explanation is of the score that was given"
        if told.exact and told.weights:
            assert abs(sum(w.weight for w in told.weights) - told.score) < 1e-3, "an exact explanation adds up"

    allowed = np.arange(40) % 3 == 0
    filtered, _ = Context(resources, allowed).execute(asked, queries.with_hits(first))
    assert {int(doc_id[1:]) % 3 for doc_id in filtered.hits["doc_id"]} == {0}
    nothing, _ = Context(MemoryResources({}, folder / "empty", encoder)).execute(asked, queries)
    assert nothing.hits.is_empty()
    check_stage(asked)


def check_selector(selector: Selector, folder: Path, encoder: Any = None) -> None:
    """The contract of the selectors family: some of the first hits, each once, the same every time; the table in the
    trace tells which."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    resources = MemoryResources(texts, folder, encoder)
    asked = selector.model_copy(update={"k": 6, "candidates": 10})
    rows = [(qid, f"d{(i * step) % 40}", 20.0 - i) for qid, step in (("1", 3), ("2", 7)) for i in range(12)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    ranking = Ranking.of([("1", "one"), ("2", "two"), ("3", "three")]).with_hits(hits)
    found, span = Context(resources).execute(asked, ranking)
    again, _ = Context(resources).execute(asked, ranking)
    assert found.hits.equals(again.hits), "equal runs give equal lists"
    assert found.queries.equals(ranking.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}
    table = span.details[SELECTION_NOTE]
    assert table.select("qid", "doc_id", "rank").equals(found.hits.select("qid", "doc_id", "rank"))
    for qid in ("1", "2"):
        chosen = found.hits.filter(qid=qid)["doc_id"].to_list()
        assert len(chosen) == 6
        assert set(chosen) <= set(ranking.top(10).hits.filter(qid=qid)["doc_id"]), "nothing but the candidates"
        received = dict(ranking.hits.filter(qid=qid).select("doc_id", "rank").iter_rows())
        assert table.filter(qid=qid)["received"].to_list() == [received[doc_id] for doc_id in chosen]
        alone = Ranking.of([(qid, "text")]).with_hits(hits.filter(qid=qid))
        told = Context(resources).execute(asked, alone)[0].hits["doc_id"].to_list()
        assert told == chosen, "a query's selection does not depend on other queries"
    all_of_them = selector.model_copy(update={"k": 12, "candidates": 12})
    assert len(Context(resources).execute(all_of_them, ranking)[0].hits) == 24
    unknown = Ranking.of([("1", "one")]).with_hits(hits.filter(qid="1").with_columns(doc_id="x" + pl.col("doc_id")))
    assert len(Context(resources).execute(asked, unknown)[0].hits) == 6, (
        "hits that the index does not hold stay candidates"
    )
    assert Context(resources).execute(asked, Ranking.of([("1", "one")]))[0].hits.is_empty()
    check_stage(asked)


def check_reranker(reranker: Reranker, folder: Path, encoder: Any = None) -> None:
    """The contract of the rerankers family: a permutation of the hits, candidates first, the table in the trace that
    tells why; budgets; filters."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    resources = MemoryResources(texts, folder, encoder)
    asked = reranker.model_copy(update={"candidates": 10, "budget_ms": None})
    rows = [(qid, f"d{(i * step) % 40}", 20.0 - i) for qid, step in (("1", 3), ("2", 7), ("3", 1)) for i in range(12)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    ranking = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "  ")]).with_hits(hits)
    found, span = Context(resources).execute(asked, ranking)
    again, _ = Context(resources).execute(asked, ranking)
    assert found.hits.equals(again.hits), "equal runs give equal lists"
    assert found.hits.schema == HITS
    table = span.details[RERANK_NOTE]
    assert table.select("qid", "doc_id", "rank").equals(found.hits.select("qid", "doc_id", "rank"))
    for qid in ("1", "2"):
        before, after = ranking.hits.filter(qid=qid), found.hits.filter(qid=qid)
        assert sorted(after["doc_id"]) == sorted(before["doc_id"]), "nothing is added or lost"
        assert set(after["doc_id"][:10]) == set(before["doc_id"][:10]), "candidates stay before the others"
        assert after["doc_id"][10:].to_list() == before["doc_id"][10:].to_list(), "the others keep their order"
        assert after["score"].is_sorted(descending=True)
        told = table.filter(qid=qid)
        assert dict(told.select("doc_id", "received").iter_rows()) == dict(before.select("doc_id", "rank").iter_rows())
        scored = told.filter(pl.col("score").is_not_null())
        assert len(scored) == 10, "without a budget, every candidate has a score"
        np.testing.assert_array_equal(scored["score"].to_numpy(), after["score"].to_numpy()[:10])
        alone = Ranking.of([(qid, dict(ranking.queries.iter_rows())[qid])]).with_hits(hits.filter(qid=qid))
        assert Context(resources).execute(asked, alone)[0].hits["doc_id"].to_list() == after["doc_id"].to_list()
        listed, query = before.sort("rank"), dict(ranking.queries.iter_rows())[qid]
        pairs = asked.pair_scores(query, listed, Context(resources))
        if pairs is not None:
            few = asked.score(query, listed.head(4), Context(resources))
            made = asked.among(pairs[:4], listed.head(4))
            np.testing.assert_allclose(made, few, rtol=1e-5, err_msg="scores of pairs do not depend on the others")
    assert found.hits.filter(qid="3").equals(ranking.hits.filter(qid="3")), "a blank query orders nothing anew"
    hurried, _ = Context(resources).execute(asked.model_copy(update={"budget_ms": 0}), ranking)
    assert hurried.hits.equals(ranking.hits), "without time, the list stays as it was"
    assert Context(resources).execute(asked, Ranking.of([("1", "one")]))[0].hits.is_empty()
    check_stage(asked)


def check_rewriter(rewriter: Rewriter, folder: Path, encoder: Any = None) -> None:
    """The contract of the rewriters family: the user's queries and hits stay, first stages search for others, which the
    trace shows."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    resources = MemoryResources(texts, folder, encoder)
    first = pl.DataFrame({"qid": ["1"], "doc_id": ["d0"], "score": [1.0]})
    ranking = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "   ")]).with_hits(first)
    found, span = Context(resources).execute(rewriter, ranking)
    assert found.queries.equals(ranking.queries), "what the user asked stays"
    assert found.hits.equals(ranking.hits)
    asked = found.searched()
    assert span.details[REWRITTEN_NOTE].equals(asked)
    assert asked.schema == QUERIES
    assert asked["qid"].unique(maintain_order=True).to_list() == ["1", "2"], (
        "one query or more, but none for a blank one"
    )
    assert asked.is_unique().all()
    assert Context(resources).execute(rewriter, ranking)[0].searched().equals(asked), "equal runs ask the same"
    assert rewriter.facts(span, "1")
    merged: dict[str, float] = {}
    for _, text in asked.filter(qid="1").iter_rows():
        for doc_id, score in (
            Context(resources).run(Bm25(k=40), Ranking.of([("1", text)])).hits.select("doc_id", "score").rows()
        ):
            merged[doc_id] = max(merged.get(doc_id, score), score)
    listed = Context(resources).run(rewriter >> Bm25(k=40), ranking).hits.filter(qid="1")
    assert dict(listed.select("doc_id", "score").rows()) == merged, "a document scores what its best query gives it"
    for qid, text in ranking.queries.head(2).iter_rows():
        alone, _ = Context(resources).execute(rewriter, Ranking.of([(qid, text)]))
        assert alone.searched().equals(asked.filter(qid=qid)), "a query's rewriting does not depend on other queries"
    check_stage(rewriter)


def check_expander(expander: Expander, models: Models) -> None:
    """The contract of the expanders family: distinct further texts of each document, none of a blank one, whatever the
    company."""
    titles = ["Title", "A title", "", "标题", ""]
    texts = ["", "Scientific papers about retrieval.", "Cooking onion soup slowly. " * 40, "信息检索", "   "]
    heard: list[Progress] = []
    written = expander.expand_many(titles, texts, models, heard.append)
    assert len(written) == len(texts)
    assert written[4] == [], "a blank document has nothing to be found by"
    assert any(written)
    assert heard
    for title, text, found in zip(titles, texts, written, strict=True):
        assert all(one.strip() for one in found)
        assert len(set(found)) == len(found)
        assert expander.expand_many([title], [text], models)[0] == found, (
            "a document gets the same alone and among others"
        )
    assert expander.expand_many([], [], models) == []
    assert all(about.description for about in type(expander).model_fields.values())
    assert type(expander).model_validate(expander.model_dump()) == expander


def check_stage(stage: Stage) -> None:
    """What every stage keeps: an equal copy after YAML, a hash, a label, and a description of every parameter."""
    spec = PipelineSpec(pipeline=stage)
    again = PipelineSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert hash(again) == hash(spec)
    assert stage.label()
    for name, about in type(stage).model_fields.items():
        assert about.description, f"{stage.name}.{name} has no description"


def check_metric(metric: Metric) -> None:
    """The contract of the metrics family: one value a query from 0 to 1, 0 without hits, better for a better order, a
    notation that reads back."""
    qids = ["good", "bad", "empty"]
    judgments = pl.DataFrame({"qid": qids, "doc_id": ["a"] * 3, "rating": [1] * 3})
    judgments = pl.concat([judgments, judgments.with_columns(doc_id=pl.lit("b"), rating=pl.lit(0, pl.Int64))])
    hits = pl.DataFrame(
        [("good", "a", 9.0), ("good", "b", 1.0), ("bad", "a", 1.0), ("bad", "b", 9.0), ("stranger", "a", 9.0)],
        schema=["qid", "doc_id", "score"],
        orient="row",
    )
    found = metric.values(mark(qids, hits, judgments))
    assert (str(found.dtype), found.shape) == ("float64", (3,))
    assert ((found >= 0) & (found <= 1)).all()
    good, bad, empty = found.tolist()
    assert good >= bad >= empty == 0.0
    alone = metric.values(mark(["good"], hits, judgments))
    assert alone.tolist() == [good], "a query's value does not depend on other queries"
    assert metric.values(mark([], hits, judgments)).shape == (0,)
    assert parse_metric(metric.label()) == metric
    assert all(about.description for about in type(metric).model_fields.values())
    assert type(metric).model_validate(metric.model_dump()) == metric


def check_chunker(chunker: Chunker) -> None:
    """The contract of the chunkers family: ordered spans inside the text that leave out nothing but white space."""
    texts = ["", "One short sentence.", "A sentence about retrieval. " * 400, "x" * 5_000, "没有空格的句子。" * 300]
    titles = ["Title", "", "A title", "", "标题"]
    split = chunker.split_many(titles, texts)
    assert len(split) == len(texts)
    assert split[0] == [], "a blank text has no passages"
    assert len(split[1]) == 1, "a short text is one passage"
    for text, spans in zip(texts, split, strict=True):
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
        covered = np.zeros(len(text), bool)
        for start, end in spans:
            covered[start:end] = True
        assert all(text[i].isspace() for i in np.flatnonzero(~covered))
    assert chunker.split(titles[2], texts[2]) == split[2], "a text is split the same alone and among others"


def check_encoder(encoder: Encoder[Any]) -> None:
    """The contract of dense encoders: a row a text in order, finite, of the card's width, independent of its neighbors;
    progress is heard."""
    texts = ["Neural retrieval", "", "Cooking onion soup slowly " * 40, "信息检索"]
    rows = encoder.encode_documents(texts)
    assert rows.shape == (4, encoder.card.dimensions)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_array_equal(encoder.encode_documents([text])[0], row)
    assert encoder.encode_queries(["a", "b", "c"]).shape == (3, encoder.card.dimensions)
    assert encoder.encode_documents([]).shape == (0, encoder.card.dimensions)
    if encoder.card.similarity == "cosine":
        np.testing.assert_allclose(np.linalg.norm(rows[[0, 2, 3]], axis=1), 1, atol=1e-5)
    heard: list[Progress] = []
    encoder.encode_documents(texts, heard.append)
    assert heard
    assert heard[-1].total == 4
    assert encoder.fingerprint
