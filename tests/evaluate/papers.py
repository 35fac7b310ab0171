"""A small collection with judged questions, which the tests of the verbs share."""

from __future__ import annotations

from pathlib import Path

from app.verbs.services import Services
from engine.types import Judgment, Query, Record

PAPERS = [
    Record("sparse", "Learned sparse retrieval", "Terms of the vocabulary get weights from a language model."),
    Record("dense", "Dense passage retrieval", "Two encoders map questions and passages to vectors."),
    Record("late", "Late interaction over token vectors", "Each query token finds its most similar passage token."),
    Record("bm25", "The probabilistic relevance framework", "Saturation and length normalization weigh terms."),
    Record("soup", "Cooking onion soup", "Slow heat turns onions sweet."),
]
QUERIES = [
    Query("1", "sparse terms", {"description": "How words are weighed."}),
    Query("2", "token vectors"),
    Query("3", "onions"),
    Query("4", "retrieval"),
]
JUDGED = [
    Judgment("1", "sparse", 2),
    Judgment("1", "bm25", 1),
    Judgment("2", "late", 1),
    Judgment("2", "dense", 0),
    Judgment("3", "bm25", 1),
]
SHORT = ("Short", "pipeline:\n- bm25: {k: 1000}\n- cutoff: {k: 1}\n")
UNBUILT = ("Unbuilt", "pipeline:\n- bm25: {k1: 2.5}\n")


def fill(folder: Path) -> None:
    """Make the workspace, with the one index that BM25 needs."""
    with Services(folder) as services:
        services.create_collection("papers")
        key = services.engine.workspace.collection("papers").collection_id
        services.engine.workspace.documents.upsert(key, PAPERS, "test")
        services.engine.workspace.documents.add_queries(key, QUERIES)
        services.engine.workspace.documents.add_judgments(key, JUDGED)
        assert services.wait(services.index("papers", services.needed_indexes(["BM25"])), 60).status == "done"
