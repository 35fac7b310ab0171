"""Tables of the page as CSV text; cells that a spreadsheet would run as a formula are defused."""

from __future__ import annotations

from collections.abc import Iterable

from app.results.evaluation import Disagreement
from app.results.search import CompareResult, Ledger, RejectionView
from engine.files.sheets import csv_text


def columns(result: CompareResult) -> str:
    """Every hit of every column: query, pipeline, rank, document, score, movement."""
    header = ("query", "pipeline", "rank", "doc_id", "title", "score", "movement", "new")
    return csv_text(
        header,
        (
            (
                result.query,
                column.pipeline.name,
                hit.card.rank,
                hit.card.doc_id,
                hit.card.title,
                hit.card.score,
                hit.movement,
                int(hit.new),
            )
            for column in result.columns
            for hit in column.hits
        ),
    )


def ledger(found: Ledger) -> str:
    """One row per hit, three cells per list: rank, raw score, contribution."""
    header = ["rank", "doc_id", "title", "score"]
    for name in found.inputs:
        header += [f"{name} rank", f"{name} raw", f"{name} contribution"]
    rows = (
        [
            row.rank,
            row.doc_id,
            row.title,
            row.score,
            *(cell for e in row.entries for cell in (e.rank, e.raw, e.contribution)),
        ]
        for row in found.rows
    )
    return csv_text(header, rows)


def disagreement(found: Disagreement) -> str:
    """One row per question, the most different lists first."""
    header = ("qid", "query", "jaccard", "rbo_9", "rbo_5", "kendall_tau")
    return csv_text(header, ((one.qid, one.text, one.jaccard, one.rbo, one.rbo_top, one.tau) for one in found.queries))


def rejections(rows: Iterable[RejectionView]) -> str:
    """The skipped rows of a job."""
    return csv_text(("where", "why", "what stood there"), ((row.place, row.reason, row.excerpt) for row in rows))
