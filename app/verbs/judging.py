"""Judge documents: from a queue or on any card, alone or with others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from app.results.evaluation import EvaluationView
from app.results.judging import JudgingItem, Provenance, QueueView, UndoneView
from app.results.search import Piece
from app.verbs.base import checked_k, keeps, shown_title, writes
from app.verbs.evaluating import EvaluationRequest, EvaluationVerbs, Pipelines
from engine.errors import BadInput, NotFound
from engine.evaluation.pooling import ORDERS
from engine.evaluation.run import job_params, measured_today
from engine.explain.snippets import mark as marked_pieces
from engine.indexes.analyzers import analyzer
from engine.metrics.base import parse_metric
from engine.workspace.judging import Pair, Queue, new_queue_id
from engine.workspace.query_sets import DEFAULT_SET
from engine.workspace.workspace import checked_name

OWN_SET = "My questions"
ME = "me"
MOST_ITEMS = 100_000
MAX_NOTE = 10_000
MAX_TEXT = 100_000
LOWEST, HIGHEST = -1, 10
DESCRIPTIONS = ("description", "desc", "narrative", "narr", "answer")


class JudgingVerbs(EvaluationVerbs):
    """Queues, judgments, and how far assessors agree."""

    @writes
    def start_queue(
        self,
        collection: str,
        pipelines: Pipelines,
        *,
        runs: Sequence[str] = (),
        query_set: str = DEFAULT_SET,
        depth: int = 10,
        order: str = "disagreement",
        measure: str = "nDCG@10",
        baseline: str = "",
        again: bool = False,
        limit: int = 2_000,
    ) -> QueueView:
        """Pool the first `depth` documents of pipelines and imported runs on every query of a query set, and put them in an order for judging.

        The orders are those of `engine.evaluation.pooling`; `flip` asks which documents could change who is better by `measure` than `baseline` (the
        first pipeline by default). Documents that somebody judged are left out unless `again`, which a second assessor wants. The pipelines
        run as a job; the queue is ready when it is done. Raises BadInput, NotFound.
        """
        stored = self._collection(collection)
        if order not in ORDERS:
            raise BadInput(f"There is no order {order!r} for judging. Known: {', '.join(ORDERS)}.")
        run_ids = {name: self.engine.workspace.runs.get(stored.collection_id, name).run_id for name in runs}
        metric = parse_metric(measure)
        deep = max(checked_k(depth), min(metric.cutoff or 100, 1_000))
        asked = self._asked(
            EvaluationRequest(pipelines, query_set, [measure], baseline or None, depth=deep, runs=tuple(run_ids)), {}
        )
        names = [*asked.pipelines, *run_ids]
        if order != "pool" and len(names) < 2:
            raise BadInput(f"The order {order!r} needs two pipelines or runs; with one, take the order 'pool'.")
        if not self._texts(stored.collection_id, query_set):
            self._known_set(collection, query_set)
            raise BadInput(f"The query set {query_set!r} holds no queries.")
        queue_id = new_queue_id()
        chosen = {
            "queue_id": queue_id, "order": order, "depth": depth, "measure": metric.label(), "baseline": asked.settings["baseline"],
            "again": bool(again), "limit": checked_k(limit, MOST_ITEMS), "pipelines": names,
        }  # fmt: skip
        params = {**job_params(asked, run_ids), "every_query": True, "queue": chosen}
        judging = self.engine.workspace.judging
        judging.begin(queue_id, stored.collection_id, query_set, chosen)
        judging.started(queue_id, self.engine.jobs.submit("pool", stored.collection_id, params))
        return self.queue(collection, queue_id)

    def queues(self, collection: str, *, assessor: str = ME) -> tuple[QueueView, ...]:
        """The judging queues of a collection, newest first."""
        key = self._collection(collection).collection_id
        return tuple(self._queue_view(queue, assessor) for queue in self.engine.workspace.judging.queues(key))

    def queue(self, collection: str, queue_id: str, *, assessor: str = ME) -> QueueView:
        """One queue, and how far this assessor is. Raises NotFound."""
        return self._queue_view(self._queue(collection, queue_id), assessor)

    @writes
    def delete_queue(self, collection: str, queue_id: str) -> None:
        """Forget a queue; the judgments that were made from it stay. Raises NotFound."""
        queue, workspace = self._queue(collection, queue_id), self.engine.workspace
        workspace.judging.delete_queue(queue_id)
        used = {other.evaluation_id for other in workspace.judging.queues(queue.collection_id)}
        if queue.evaluation_id and queue.evaluation_id not in used:
            workspace.evaluations.delete(queue.evaluation_id)

    def judging_item(
        self,
        collection: str,
        queue_id: str,
        *,
        assessor: str = ME,
        position: int | None = None,
        skipped: bool = False,
        after: int = -1,
    ) -> JudgingItem | None:
        """The next document of a queue for an assessor, or the one at a position; None when all are done.

        With `skipped`, the next of those that were skipped; `after` leaves out what stands up to that position. Documents that were
        deleted meanwhile are passed over. Raises NotFound.
        """
        queue, judging = self._queue(collection, queue_id), self.engine.workspace.judging
        if position is not None:
            item = judging.item(queue_id, position)
            found = self._item_view(queue, item.position, item.qid, item.doc_id, assessor)
            if found is None:
                raise NotFound(f"The document {item.doc_id!r} is not in the collection any more.")
            return found
        while (item_ := judging.next(queue_id, assessor, after=after, skipped=skipped)) is not None:
            view = self._item_view(queue, item_.position, item_.qid, item_.doc_id, assessor)
            if view is not None:
                return view
            after = item_.position
        return None

    def provenance(self, collection: str, queue_id: str, position: int) -> Provenance:
        """Which pipelines found a document of a queue, for the assessor who asks. Raises NotFound."""
        self._queue(collection, queue_id)
        item = self.engine.workspace.judging.item(queue_id, position)
        return Provenance(tuple(sorted(item.found.items(), key=lambda found: found[1])), item.effect)

    @keeps
    def queue_measures(self, collection: str, queue_id: str) -> EvaluationView | None:
        """What the pipelines of a queue score by the judgments of this moment; None before there is any, or before it is ready.

        Nothing is stored: it is looked at where one may only read, too.
        """
        queue = self._queue(collection, queue_id)
        if not queue.ready_at or not queue.evaluation_id:
            return None
        if self.engine.workspace.documents.settled_judgments(queue.collection_id, queue.query_set).is_empty():
            return None
        stored = self._stored(collection, queue.evaluation_id)
        values, _ = measured_today(self.engine, stored)
        return self._shown(self._collection(collection).name, stored, values)

    @writes
    def judge(
        self,
        collection: str,
        queue_id: str,
        position: int,
        rating: int,
        *,
        assessor: str = ME,
        note: str | None = None,
        revealed: bool = False,
    ) -> QueueView:
        """Rate a document of a queue. What was on the screen is kept with it; `revealed` says that its provenance was. Raises BadInput."""
        queue, pair, shown = self._acted(collection, queue_id, position, assessor, revealed)
        checked = None if note is None else checked_note(note)
        self.engine.workspace.judging.judge(pair, checked_rating(rating), note=checked, shown=shown)
        return self._queue_view(queue, pair.assessor)

    @writes
    def skip(
        self, collection: str, queue_id: str, position: int, *, assessor: str = ME, revealed: bool = False
    ) -> QueueView:
        """Leave a document of a queue unjudged; it comes again only when skipped ones are asked for."""
        queue, pair, shown = self._acted(collection, queue_id, position, assessor, revealed)
        self.engine.workspace.judging.skip(pair, shown=shown)
        return self._queue_view(queue, pair.assessor)

    @writes
    def note(self, collection: str, queue_id: str, position: int, note: str, *, assessor: str = ME) -> None:
        """Write something about a document of a queue; it stays with the judgment that is there, or comes. Raises BadInput."""
        _, pair, shown = self._acted(collection, queue_id, position, assessor, False)
        self.engine.workspace.judging.note(pair, checked_note(note), shown=shown)

    @writes
    def undo(self, collection: str, query_set: str = DEFAULT_SET, *, assessor: str = ME) -> UndoneView | None:
        """Take this assessor's last act in a query set back, whatever it was; None when there is none left."""
        key = self._collection(collection).collection_id
        undone = self.engine.workspace.judging.undo(key, query_set, checked_assessor(assessor))
        if undone is None:
            return None
        shown = undone.shown
        return UndoneView(
            undone.action, undone.qid, undone.doc_id, undone.rating, str(shown.get("queue", "")), shown.get("position")
        )

    def _queue(self, collection: str, queue_id: str) -> Queue:
        queue = self.engine.workspace.judging.queue(queue_id)
        if queue.collection_id != self._collection(collection).collection_id:
            raise NotFound(f"There is no judging queue {queue_id!r} in {collection!r}.")
        return queue

    def _queue_view(self, queue: Queue, assessor: str) -> QueueView:
        total, judged, skipped = self.engine.workspace.judging.counts(queue.queue_id, checked_assessor(assessor))
        jobs = self.engine.jobs
        ended = not queue.job_id or jobs.get(queue.job_id).status in ("failed", "cancelled")
        state = "ready" if queue.ready_at else "failed" if ended else "preparing"
        return QueueView(
            queue_id=queue.queue_id,
            job_id=queue.job_id,
            state=state,  # type: ignore[arg-type]
            query_set=queue.query_set,
            pipelines=tuple(queue.spec["pipelines"]),
            order=queue.spec["order"],
            depth=queue.spec["depth"],
            measure=queue.spec["measure"] if queue.spec["order"] == "flip" else "",
            created_at=queue.created_at.isoformat(timespec="seconds"),
            total=total,
            judged=judged,
            skipped=skipped,
        )

    def _item_view(self, queue: Queue, position: int, qid: str, doc_id: str, assessor: str) -> JudgingItem | None:
        """The document as shown; None when it is gone."""
        documents = self.engine.workspace.documents
        rows = documents.fetch(queue.collection_id, [doc_id])
        if rows.is_empty():
            return None
        row = rows.row(0, named=True)
        asked = documents.queries(queue.collection_id, queue.query_set).filter(pl.col("qid") == qid)
        query, metadata = asked.select("text", "metadata").row(0) if len(asked) else ("", "{}")
        own = documents.judgments(queue.collection_id, queue.query_set).filter(
            (pl.col("qid") == qid) & (pl.col("doc_id") == doc_id) & (pl.col("assessor") == checked_assessor(assessor))
        )
        rating, note = own.select("rating", "note").row(0) if len(own) else (None, "")
        return JudgingItem(
            queue_id=queue.queue_id,
            position=position,
            query_set=queue.query_set,
            qid=qid,
            query=query,
            description=_description(json.loads(metadata)),
            doc_id=doc_id,
            title=shown_title(row["title"]),
            text=_marked(row["text"], query),
            authors=tuple(row["authors"] or ()),
            year=row["year"],
            venue=row["venue"],
            url=row["url"],
            rating=rating,
            note=note,
        )

    def _acted(
        self, collection: str, queue_id: str, position: int, assessor: str, revealed: bool
    ) -> tuple[Queue, Pair, dict[str, Any]]:
        """The queue, whom and what an act is about, and what the assessor had on the screen."""
        queue = self._queue(collection, queue_id)
        item = self.engine.workspace.judging.item(queue_id, position)
        pair = Pair(queue.collection_id, queue.query_set, item.qid, item.doc_id, checked_assessor(assessor))
        pool = {name: queue.spec[name] for name in ("pipelines", "depth", "order")}
        return queue, pair, {"queue": queue_id, "position": position, "pool": pool, "revealed": bool(revealed)}


def checked_rating(rating: int) -> int:
    """A whole number within bounds. Raises BadInput."""
    if isinstance(rating, bool) or not isinstance(rating, int) or not LOWEST <= rating <= HIGHEST:
        raise BadInput(f"A rating is a whole number from {LOWEST} to {HIGHEST}; got {rating!r}.")
    return rating


def checked_note(note: str) -> str:
    """A note without what cannot be stored. Raises BadInput when it is too long."""
    if len(note) > MAX_NOTE:
        raise BadInput(f"A note has at most {MAX_NOTE:,} characters; this one has {len(note):,}.")
    return note.replace("\x00", " ").strip()


def checked_assessor(assessor: str) -> str:
    """A usable name. Raises BadInput."""
    return checked_name(assessor, "assessor")


def _description(metadata: Mapping[str, Any]) -> str:
    """What the fields of a query say is wanted, beyond its words."""
    return "\n".join(str(metadata[name]) for name in DESCRIPTIONS if isinstance(metadata.get(name), str))


def _marked(text: str, query: str) -> tuple[Piece, ...]:
    """The text with the words of the query marked, cut where it is longer than anybody reads."""
    english = analyzer("english")
    shown = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    terms = {token.term for token in english.tokens(query)}
    spans = [(token.start, token.end) for token in english.tokens(shown) if token.term in terms]
    return tuple(Piece(piece, "lexical" if hit else "") for piece, hit in marked_pieces(shown, spans))
