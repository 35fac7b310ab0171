"""Judge on any card, measure what is judged, and tell how far assessors agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import polars as pl

from app.results.judging import (
    AssessorAgreement,
    AssessorView,
    DifferentJudgments,
    JudgedCard,
    MeasuredLists,
    PairKappa,
)
from app.verbs.base import checked_query, writes
from app.verbs.judging import ME, JudgingVerbs, checked_assessor, checked_note, checked_rating
from app.verbs.tables import table_bytes
from engine.errors import BadInput, NotFound
from engine.metrics.base import mark, parse_metric
from engine.statistics.assessors import cohen_kappa, fleiss_kappa
from engine.types import Query
from engine.workspace.judging import Pair
from engine.workspace.query_sets import DEFAULT_SET
from engine.workspace.workspace import checked_name

OWN_SET = "My questions"


class AssessingVerbs(JudgingVerbs):
    """Judgments beside a queue, and what several assessors make of a query set."""

    @writes
    def judge_card(
        self,
        collection: str,
        query: str,
        doc_id: str,
        rating: int | None,
        *,
        assessor: str = ME,
        query_set: str = "",
        pipeline: str = "",
        rank: int | None = None,
        note: str | None = None,
    ) -> JudgedCard:
        """Rate a document where it was found (None takes the rating back). A query that no query set holds joins "My questions".

        Pipeline and rank are kept as what was shown. Raises NotFound for a document that is not there, and BadInput.
        """
        stored, documents = self._collection(collection), self.engine.workspace.documents
        text, _ = checked_query(query)
        if not text:
            raise BadInput("There is no query to judge this document for; type one first.")
        if documents.fetch(stored.collection_id, [doc_id]).is_empty():
            raise NotFound(f"There is no document {doc_id!r} in {collection!r}.")
        where, qid = self._placed(stored.collection_id, text, query_set)
        pair = Pair(stored.collection_id, where, qid, doc_id, checked_assessor(assessor))
        shown = {"query": text, **({"pipeline": pipeline} if pipeline else {}), **({"rank": rank} if rank else {})}
        judging = self.engine.workspace.judging
        if rating is None:
            judging.remove(pair, shown=shown)
        else:
            checked = None if note is None else checked_note(note)
            judging.judge(pair, checked_rating(rating), note=checked, shown=shown)
        return JudgedCard(where, qid, rating, self._ratings(stored.collection_id, text))

    def judged_measures(
        self,
        collection: str,
        query: str,
        lists: Mapping[str, Sequence[str]],
        *,
        metrics: Sequence[str] = ("nDCG@10", "P@5", "RR@10"),
    ) -> MeasuredLists:
        """Measure lists of document ids, best first, against what is judged for this query now. Raises BadInput on a metric."""
        stored = self._collection(collection)
        text, _ = checked_query(query)
        chosen = [parse_metric(label) for label in metrics]
        ratings = self._ratings(stored.collection_id, text)
        schema = {"qid": pl.String, "doc_id": pl.String}
        judged = [("q", doc_id, rating) for doc_id, rating in ratings.items()]
        judgments = pl.DataFrame(judged, {**schema, "rating": pl.Int32}, orient="row")
        values: dict[str, dict[str, float | None]] = {}
        for name, docs in lists.items():
            rows = [("q", doc_id, float(-place)) for place, doc_id in enumerate(dict.fromkeys(docs))]
            marked = mark(["q"], pl.DataFrame(rows, {**schema, "score": pl.Float64}, orient="row"), judgments)
            values[name] = {metric.label(): float(metric.values(marked)[0]) if ratings else None for metric in chosen}
        return MeasuredLists(len(ratings), values)

    def assessors(self, collection: str, query_set: str = DEFAULT_SET) -> AssessorAgreement:
        """Who judged a query set, how far they agree beyond chance, and where they differ. Raises NotFound."""
        key, documents = self._collection(collection).collection_id, self.engine.workspace.documents
        self._known_set(collection, query_set)
        judgments = documents.judgments(key, query_set)
        given: dict[str, dict[tuple[str, str], int]] = {}
        for qid, doc_id, rating, name in judgments.select("qid", "doc_id", "rating", "assessor").iter_rows():
            given.setdefault(name, {})[qid, doc_id] = rating
        pairs = []
        for left, right in itertools.combinations(sorted(given), 2):
            both = sorted(given[left].keys() & given[right].keys())
            a, b = [given[left][pair] for pair in both], [given[right][pair] for pair in both]
            same = sum(x == y for x, y in zip(a, b, strict=True)) / len(both) if both else 0.0
            pairs.append(PairKappa(left, right, len(both), same, cohen_kappa(a, b)))
        shared = sorted(set.intersection(*map(set, given.values()))) if len(given) > 1 else []
        return AssessorAgreement(
            query_set=query_set,
            rule=documents.judgment_rule(key, query_set),
            assessors=tuple(AssessorView(name, len(given[name])) for name in sorted(given)),
            pairs=tuple(pairs),
            shared=len(shared),
            fleiss=fleiss_kappa([[given[name][pair] for name in given] for pair in shared]),
            different=self._different(key, query_set, given),
        )

    @writes
    def set_judgment_rule(self, collection: str, query_set: str, rule: str) -> None:
        """Choose which judgment of a document counts when assessors differ: latest, majority or median. Raises BadInput, NotFound."""
        key = self._collection(collection).collection_id
        self._known_set(collection, query_set)
        self.engine.workspace.judging.rule(key, query_set, rule)

    def export_judging_log(self, collection: str, query_set: str = DEFAULT_SET) -> str:
        """Every act of every assessor in a query set as CSV: who, when, what, the note, what was shown, and whether it was taken back."""
        key = self._collection(collection).collection_id
        self._known_set(collection, query_set)
        events = self.engine.workspace.judging.events(key, query_set)
        when = [pl.col(name).dt.to_string("iso:strict").alias(name) for name in ("acted_at", "undone_at")]
        return table_bytes(events.with_columns(when), "csv").decode()

    def _placed(self, collection_id: str, text: str, query_set: str) -> tuple[str, str]:
        """(set, qid) of a query: where it is, in the named set if one is named, or where it is put now."""
        documents = self.engine.workspace.documents
        known = documents.all_queries(collection_id).filter(
            pl.col("text").str.strip_chars().str.to_lowercase() == text.lower()
        )
        if query_set:
            known = known.filter(pl.col("query_set") == query_set)
        if len(known):
            found: tuple[str, str] = known.select("query_set", "qid").row(0)
            return found
        name = checked_name(query_set or OWN_SET, "query set")
        with self.engine.workspace.database.write("a question"):
            taken = set(documents.queries(collection_id, name)["qid"])
            qid = next(str(number) for number in itertools.count(len(taken) + 1) if str(number) not in taken)
            documents.add_queries(collection_id, [Query(qid, text)], name)
        return name, qid

    def _different(
        self, collection_id: str, query_set: str, given: Mapping[str, Mapping[tuple[str, str], int]]
    ) -> tuple[DifferentJudgments, ...]:
        documents = self.engine.workspace.documents
        every = dict.fromkeys(pair for ratings in given.values() for pair in ratings)
        by_pair = {pair: {name: given[name][pair] for name in given if pair in given[name]} for pair in every}
        apart = sorted(pair for pair, ratings in by_pair.items() if len(set(ratings.values())) > 1)
        settled = documents.settled_judgments(collection_id, query_set)
        counts = {(qid, doc_id): rating for qid, doc_id, rating in settled.iter_rows()}
        texts = self._texts(collection_id, query_set)
        titles = self._titles(collection_id, list(dict.fromkeys(doc_id for _, doc_id in apart)))
        return tuple(
            DifferentJudgments(
                qid, texts.get(qid, ""), doc_id, titles.get(doc_id, ""), by_pair[qid, doc_id], counts[qid, doc_id]
            )
            for qid, doc_id in apart
        )
