"""Query sets and judgments: bring them in, list them, take them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from app.results.evaluation import Imported, QuerySetView
from app.verbs.base import Verbs, writes
from engine.errors import BadInput, NotFound
from engine.files.judgments import read_judgments, write_judgments
from engine.files.queries import read_queries, write_queries
from engine.types import Judgment, Query
from engine.workspace.query_sets import DEFAULT_SET
from engine.workspace.workspace import checked_name

ANSWERS = "answers"  # the assessor of judgments that came as answers beside their queries


class QuerySetVerbs(Verbs):
    """Everything about the questions of a collection and what is known to answer them."""

    def query_sets(self, collection: str) -> tuple[QuerySetView, ...]:
        """The query sets of a collection, the default one first."""
        key = self._collection(collection).collection_id
        return tuple(QuerySetView(*row) for row in self.engine.workspace.documents.query_sets(key).iter_rows())

    @writes
    def delete_query_set(self, collection: str, query_set: str) -> int:
        """Delete a query set with its judgments; gives how many queries it had. Raises NotFound."""
        key = self._collection(collection).collection_id
        self._known_set(collection, query_set)
        return int(self.engine.workspace.documents.delete_query_set(key, query_set))

    @writes
    def import_queries(
        self, collection: str, path: str | Path, *, query_set: str = DEFAULT_SET, form: str = "auto"
    ) -> Imported:
        """Add or replace queries from a file or BEIR folder, whose judgments come along.

        An answer that is the id of a document becomes a judgment. Raises BadInput with the lines that are wrong; nothing is taken then.
        """
        key, name, source = self._collection(collection).collection_id, checked_name(query_set, "query set"), Path(path)
        queries, found = read_queries(source, form)
        folder = source.is_dir() and any((source / "qrels").glob("*.tsv"))
        judgments = read_judgments(source).judgments if folder else ()
        answers = [(query.qid, str(query.metadata["answer"])) for query in queries if query.metadata.get("answer")]
        documents = self.engine.workspace.documents
        known = self._present(key, [answer for _, answer in answers])
        answered = [Judgment(qid, answer, 1) for qid, answer in answers if answer in known]
        with self.engine.workspace.database.write(f"importing {len(queries)} queries"):
            documents.add_queries(key, queries, name)
            documents.add_judgments(key, judgments, query_set=name)
            documents.add_judgments(key, answered, ANSWERS, name)
        notices = self._strangers(key, judgments)
        if len(answered) < len(answers):
            notices += (
                f"{len(answers) - len(answered):,} answers are not the id of a document; they are kept with their queries.",
            )
        return Imported(name, found, len(queries), len(judgments) + len(answered), notices)

    @writes
    def import_judgments(
        self, collection: str, path: str | Path, *, query_set: str = DEFAULT_SET, form: str = "auto"
    ) -> Imported:
        """Add or replace judgments from a file or BEIR folder. A CSV may name a query by its words, which then joins the set if it is new.

        Raises BadInput with the lines that are wrong; nothing is taken then.
        """
        key, name = self._collection(collection).collection_id, checked_name(query_set, "query set")
        file = read_judgments(Path(path), form)
        documents = self.engine.workspace.documents
        known = documents.queries(key, name)
        new: list[Query] = []
        judgments: Sequence[Judgment] = file.judgments
        if file.by_text:
            judgments, new = _by_text(file.judgments, known)
        with self.engine.workspace.database.write(f"importing {len(judgments)} judgments"):
            documents.add_queries(key, new, name)
            documents.add_judgments(key, judgments, query_set=name)
        qids = set(known["qid"]) | {query.qid for query in new}
        homeless = {judgment.qid for judgment in judgments} - qids
        notices = self._strangers(key, judgments)
        if homeless:
            notices += (
                f"{len(homeless):,} judged queries are not in the query set {name!r} yet; import them to evaluate with them.",
            )
        return Imported(name, file.form, len(new), len(judgments), notices)

    def export_queries(self, collection: str, *, query_set: str = DEFAULT_SET, form: str = "beir") -> str:
        """The queries of a query set as BEIR JSON lines, or tab-separated (`tsv`)."""
        key = self._collection(collection).collection_id
        self._known_set(collection, query_set)
        rows = self.engine.workspace.documents.queries(key, query_set).iter_rows()
        return write_queries([Query(qid, text, json.loads(metadata)) for qid, text, metadata in rows], form)

    def export_judgments(self, collection: str, *, query_set: str = DEFAULT_SET, form: str = "trec") -> str:
        """The judgments of a query set as `trec` qrels, `beir` or `csv`; of several for one pair, the last."""
        key = self._collection(collection).collection_id
        self._known_set(collection, query_set)
        documents = self.engine.workspace.documents
        texts = dict(documents.queries(key, query_set).select("qid", "text").iter_rows())
        return write_judgments(documents.settled_judgments(key, query_set), form, texts)

    def query_text(self, collection: str, query_set: str, qid: str) -> str:
        """The words of one query. Raises NotFound."""
        key = self._collection(collection).collection_id
        found = self.engine.workspace.documents.queries(key, query_set).filter(pl.col("qid") == qid)["text"]
        if not len(found):
            raise NotFound(f"There is no query {qid!r} in the query set {query_set!r}.")
        return str(found[0])

    def _known_set(self, collection: str, query_set: str) -> None:
        known = [view.name for view in self.query_sets(collection)]
        if query_set not in known:
            raise NotFound(
                f"There is no query set {query_set!r} in {collection!r}. Known: {', '.join(known) or 'none yet'}."
            )

    def _present(self, collection_id: str, doc_ids: Sequence[str]) -> set[str]:
        places = self.engine.workspace.documents.positions(collection_id, list(doc_ids))
        return {doc_id for doc_id, place in zip(doc_ids, places, strict=True) if place >= 0}

    def _strangers(self, collection_id: str, judgments: Sequence[Judgment]) -> tuple[str, ...]:
        """Say so when judged documents are not in the collection: no pipeline can find them."""
        judged = sorted({judgment.doc_id for judgment in judgments})
        absent = len(judged) - len(self._present(collection_id, judged))
        return (f"{absent:,} of {len(judged):,} judged documents are not in the collection.",) if absent else ()


def _by_text(judgments: Sequence[Judgment], known: pl.DataFrame) -> tuple[list[Judgment], list[Query]]:
    """Judgments whose query is an id of the set, or the words of one of its queries, or else a new query with the next free number."""
    qids = set(known["qid"])
    by_words = {_words(text): qid for qid, text in known.select("qid", "text").iter_rows()}
    new: list[Query] = []
    placed: dict[tuple[str, str], Judgment] = {}
    number = 0
    for judgment in judgments:
        words = _words(judgment.qid)
        qid = judgment.qid if judgment.qid in qids else by_words.get(words)
        if qid is None:
            number += 1
            while str(number) in qids:
                number += 1
            qid = by_words[words] = str(number)
            qids.add(qid)
            new.append(Query(qid, judgment.qid, {}, judgment.place))
        first = placed.setdefault(
            (qid, judgment.doc_id), Judgment(qid, judgment.doc_id, judgment.rating, judgment.place)
        )
        if first.rating != judgment.rating:
            raise BadInput(f"{judgment.place}: the document {judgment.doc_id!r} was judged otherwise at {first.place}.")
    return list(placed.values()), new


def _words(text: str) -> str:
    return " ".join(text.split()).lower()
