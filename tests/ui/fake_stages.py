"""Stages and rerankings over the synthetic papers: "Hybrid" reads its first hits again, ten milliseconds for each."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from app.results.search import Attribution, Explanation, PipelineView
from app.results.stages import (
    CandidatePoint,
    MoveExplanation,
    RerankedHit,
    RerankingResult,
    StageColumn,
    StageHit,
    StagesResult,
)
from engine.errors import BadInput, NotFound

EACH_MS = 10.0
OWN = 20
RATINGS = {"paper-000": 2, "paper-010": 0}


class FakeStages:
    """The verbs of `app.verbs.unrolling` and `app.verbs.reranking`."""

    papers: dict[str, Any]
    reranker_separate = True

    def stages(
        self, collection: str, query: str, pipeline: str, *, k: int = 10, filters: Mapping[str, Any] | None = None
    ) -> StagesResult:
        view = self._view_of(pipeline)
        hits, found = self._ranking(query, pipeline)  # type: ignore[attr-defined]
        hits = self._filtered(hits, filters)  # type: ignore[attr-defined]
        if pipeline != "Hybrid":
            return StagesResult(
                collection, query, view, k, (self._listed("retrieved", pipeline, hits, k),), 3.0, judged=True
            )
        lists = [self._filtered(self._ranking(query, name)[0], filters) for name in ("BM25", "Dense")]  # type: ignore[attr-defined]
        columns = [
            self._listed("retrieved", name, one, k, 2) for name, one in zip(("BM25", "Dense"), lists, strict=True)
        ]
        fused = tuple(
            StageHit(
                doc_id, self.papers[doc_id].title, rank, score, rating=RATINGS.get(doc_id),
                sources=tuple(next((by.rank for by in found[doc_id] if by.label == name), None) for name in ("BM25", "Dense")),
                next_rank=rank if rank % 3 else None, lost="" if rank % 3 else "threshold",
            )
            for rank, (doc_id, score) in enumerate(hits[:k], 1)
        )  # fmt: skip
        kept = tuple(
            StageHit(h.doc_id, h.title, h.rank, h.score, 0.9 / h.rank, h.rating, 0) for h in fused if not h.lost
        )
        below = tuple(StageHit(h.doc_id, h.title, h.rank, h.score, 0.01) for h in fused if h.lost)
        formula = "Σ 1 / (60 + rank)"
        columns += [
            StageColumn("fused", "fuse (rrf)", 0.8, 137, len(hits), fused, (0, 1), 3, 30, facts=(formula,)),
            StageColumn("calibrated", "platt", 0.4, 30, len(kept), kept, (2,), None, None, below, 17, True),
        ]
        return StagesResult(
            collection,
            query,
            view,
            k,
            tuple(columns),
            9.4,
            judged=True,
            notices=("4 new papers are not in the index.",),
        )

    def _listed(self, kind: str, label: str, hits: Any, k: int, feeds: int | None = None) -> StageColumn:
        shown = tuple(
            StageHit(
                doc_id,
                self.papers[doc_id].title,
                rank,
                score,
                rating=RATINGS.get(doc_id),
                next_rank=rank + 9 if feeds else None,
            )
            for rank, (doc_id, score) in enumerate(hits[:k], 1)
        )
        return StageColumn(kind, label, 1.1, 0, len(hits), shown, (), feeds)

    def _view_of(self, pipeline: str) -> PipelineView:
        return self.pipeline(pipeline)  # type: ignore[attr-defined, no-any-return]

    def reranking(
        self, collection: str, query: str, pipeline: str, *, at: int = 0, k: int = 10, candidates: int | None = None,
        budget_ms: Any = "own", measure: str = "nDCG@10", filters: Mapping[str, Any] | None = None,
    ) -> RerankingResult:  # fmt: skip
        view = self._view_of(pipeline)
        if pipeline != "Hybrid":
            raise BadInput(f"{pipeline!r} has no rerank stage.")
        hits = self._filtered(self._ranking(query, "BM25")[0], filters)  # type: ignore[attr-defined]
        wanted = min(OWN if candidates is None else candidates, len(hits))
        budget = None if budget_ms == "own" else budget_ms
        reached = wanted if budget is None else min(wanted, int(budget / EACH_MS))
        own = {doc_id: zlib.crc32(doc_id.encode()) % 1000 / 50 for doc_id, _ in hits[:reached]}
        first = sorted(own, key=lambda doc_id: (-own[doc_id], doc_id))
        order = [*first, *(doc_id for doc_id, _ in hits[reached:])]
        places = {doc_id: place for place, doc_id in enumerate(order, 1)}
        judged = query.startswith("dense")
        rows = tuple(
            RerankedHit(
                doc_id, self.papers[doc_id].title, RATINGS.get(doc_id), i, places[doc_id], score, own.get(doc_id)
            )
            for i, (doc_id, score) in enumerate(hits, 1)
            if i <= max(k, wanted) or places[doc_id] <= k
        )
        curve = tuple(
            CandidatePoint(n, n * EACH_MS, 0.3 + n / 200 if judged else None, min(1.0, n / 30))
            for n in range(5, len(hits) + 1, 5)
        )
        return RerankingResult(
            collection, query, view, ("cross", "maxsim"), at, k, len(hits), wanted, len(hits), reached, budget, OWN, None,
            self.reranker_separate, None, 4.0, reached * EACH_MS, rows, 2 if judged else 0, measure,
            0.3 if judged else None, 0.3 + reached / 200 if judged else None, curve,
        )  # fmt: skip

    def why_moved(self, collection: str, query: str, pipeline: str, doc_id: str, *, at: int = 0) -> MoveExplanation:
        if doc_id not in self.papers:
            raise NotFound(f"There is no document {doc_id!r}.")
        paper = self.papers[doc_id]
        text = f"{paper.title}. {paper.text}"
        words = Explanation(
            "BM25", "bm25", True, 3.5, 4, (Attribution("dense", 3.5),), "Each term's weight.", "lexical"
        )
        read = Explanation(
            "cross",
            "cross",
            False,
            9.1,
            None,
            (Attribution(paper.text[:60], 2.0, len(paper.title) + 2, len(paper.title) + 62),),
            "Approximate.",
            "pair",
        )
        silent = paper.topic == "query expansion"
        return MoveExplanation(
            doc_id, paper.title, text, (words,), None if silent else read, "It cannot tell." if silent else ""
        )
