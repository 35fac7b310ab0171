"""The verbs about judging and voting over synthetic values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.results.evaluation import EvaluationView
from app.results.judging import (
    AssessorAgreement,
    AssessorView,
    BlindResults,
    BlindReveal,
    BlindRound,
    BlindSession,
    DifferentJudgments,
    JudgedCard,
    JudgingItem,
    MeasuredLists,
    PairKappa,
    Provenance,
    QueueView,
    UndoneView,
)
from app.results.search import Card, Piece
from engine.errors import BadInput, NotFound

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}<script>alert(1)</script>"
LONG = "Three lists with feedback, interpolated on both sides, then reranked by a cross-encoder over the first hundred"
QUEUE = QueueView(
    queue_id="qu-1", job_id="job-9", state="ready", query_set="default", pipelines=("BM25", "Dense", LONG), order="flip",
    depth=10, measure="nDCG@10", created_at="2026-05-02T10:11:12", total=6, judged=0, skipped=0,
)  # fmt: skip
ITEM = JudgingItem(
    queue_id="qu-1", position=0, query_set="default", qid="q05", query="dense retrieval for 科学文献",
    description="What is wanted.\nNothing about images.", doc_id="paper-000", title="A very long title that goes on " * 12,
    text=(Piece("We study "), Piece("dense", "lexical"), Piece(" retrieval. 本文研究稠密检索。" * 40)),
    authors=("Fatima al-Zahra", "王小明"), year=2021, venue="SIGIR", url="https://example.org/papers/0", rating=None, note="",
)  # fmt: skip
NASTY = replace(
    ITEM, query=HOSTILE, description=HOSTILE, title=HOSTILE, text=(Piece(HOSTILE, "lexical"),), authors=(HOSTILE,), venue=HOSTILE,
    url="javascript:alert(1)", note=HOSTILE, doc_id="hostile",
)  # fmt: skip
SESSION = BlindSession("bl-1", ("BM25", "Hybrid"), 5, "default", 7, "2026-05-02T10:11:12", 3, 2)
AGREED = AssessorAgreement(
    query_set="default", rule="latest", assessors=(AssessorView("me", 40), AssessorView("王", 31), AssessorView("zoe", 12)),
    pairs=(PairKappa("me", "王", 30, 0.9, 0.72), PairKappa("me", "zoe", 12, 0.5, 0.1), PairKappa("zoe", "王", 0, 0.0, None)),
    shared=9, fleiss=0.41, different=(DifferentJudgments("q05", HOSTILE, "paper-000", HOSTILE, {"me": 2, "王": 0}, 0),),
)  # fmt: skip


class FakeJudging:
    """One queue of six documents per assessor, one rule, and one blind comparison whose sides do not move."""

    read_only: bool
    acts: list[tuple[str, str, int, Any]]
    """(assessor, act, position, rating or text), the last one last."""

    def _judging(self) -> list[tuple[str, str, int, Any]]:
        if not hasattr(self, "acts"):
            self.acts = []
            self.card_ratings: dict[tuple[str, str], int] = {}
            self.voted: dict[int, str] = {1: "left", 2: "tie"}
            self.rounds = ["what is rank fusion?", HOSTILE, "dense retrieval"]
            self.rule = "latest"
        return self.acts

    def _standing(self, assessor: str) -> dict[int, tuple[str, Any]]:
        return {at: (act, value) for who, act, at, value in self._judging() if who == assessor and act != "note"}

    def _queue(self, collection: str, queue_id: str) -> None:
        if collection != "Retrieval papers" or queue_id not in ("qu-1", "qu-0", "qu-f"):
            raise NotFound(f"There is no judging queue {queue_id!r}.")

    def start_queue(self, collection: str, pipelines: Sequence[str], **settings: Any) -> QueueView:
        if not pipelines and not settings.get("runs"):
            raise BadInput("Choose at least one pipeline.")
        self.asked = {"pipelines": tuple(pipelines), **settings}
        return self.queue(collection, "qu-0")

    def queues(self, collection: str, *, assessor: str = "me") -> tuple[QueueView, ...]:
        if collection != "Retrieval papers":
            return ()
        return tuple(self.queue(collection, name, assessor=assessor) for name in ("qu-0", "qu-1", "qu-f"))

    def queue(self, collection: str, queue_id: str, *, assessor: str = "me") -> QueueView:
        self._queue(collection, queue_id)
        done = self._standing(assessor)
        judged = sum(act == "judge" for act, _ in done.values())
        state = {"qu-0": "preparing", "qu-f": "failed"}.get(queue_id, "ready")
        job = "job-8" if queue_id == "qu-0" else "job-9"
        return replace(QUEUE, queue_id=queue_id, state=state, job_id=job, judged=judged, skipped=len(done) - judged)

    def delete_queue(self, collection: str, queue_id: str) -> None:
        self._queue(collection, queue_id)

    def judging_item(
        self, collection: str, queue_id: str, *, assessor: str = "me", position: int | None = None, skipped: bool = False, after: int = -1
    ) -> JudgingItem | None:  # fmt: skip
        self._queue(collection, queue_id)
        done = self._standing(assessor)
        if position is None:
            left = [
                at
                for at in range(6)
                if at > after and (done.get(at, ("",))[0] == "skip" if skipped else at not in done)
            ]
            if not left:
                return None
            position = left[0]
        if not 0 <= position < 6:
            raise NotFound(f"The judging queue has no document {position}.")
        notes = [value for who, act, at, value in self.acts if (who, act, at) == (assessor, "note", position)]
        act, value = done.get(position, ("", None))
        shown = NASTY if position == 5 else ITEM
        return replace(
            shown, position=position, rating=value if act == "judge" else None, note=notes[-1] if notes else shown.note
        )

    def provenance(self, collection: str, queue_id: str, position: int) -> Provenance:
        return Provenance((("BM25", 2), (LONG, 7)), -0.0125)

    def queue_measures(self, collection: str, queue_id: str) -> EvaluationView | None:
        from fake_evaluation import view

        return view() if any(act == "judge" for _, act, _, _ in self._judging()) else None

    def judge(
        self, collection: str, queue_id: str, position: int, rating: int, *, assessor: str = "me", **more: Any
    ) -> QueueView:
        self._judging().append((assessor, "judge", position, rating))
        self.revealed = more.get("revealed")
        return self.queue(collection, queue_id, assessor=assessor)

    def skip(
        self, collection: str, queue_id: str, position: int, *, assessor: str = "me", revealed: bool = False
    ) -> QueueView:
        self._judging().append((assessor, "skip", position, None))
        return self.queue(collection, queue_id, assessor=assessor)

    def note(self, collection: str, queue_id: str, position: int, note: str, *, assessor: str = "me") -> None:
        self._queue(collection, queue_id)
        self._judging().append((assessor, "note", position, note))

    def undo(self, collection: str, query_set: str, *, assessor: str = "me") -> UndoneView | None:
        mine = [i for i, act in enumerate(self._judging()) if act[0] == assessor]
        if not mine:
            return None
        _, act, at, _ = self.acts.pop(mine[-1])
        return UndoneView(act, "q05", "paper-000", None, "qu-1" if at >= 0 else "", at if at >= 0 else None)

    def judge_card(self, collection: str, query: str, doc_id: str, rating: int | None, **more: Any) -> JudgedCard:
        self._judging()
        if not query:
            raise BadInput("There is no query to judge this document for; type one first.")
        self.shown_with = more
        self.card_ratings.pop((query, doc_id), None)
        if rating is not None:
            self.card_ratings[query, doc_id] = rating
        return JudgedCard(
            "My questions",
            "1",
            rating,
            {doc: value for (asked, doc), value in self.card_ratings.items() if asked == query},
        )

    def judged_measures(
        self, collection: str, query: str, lists: Mapping[str, Sequence[str]], *, metrics: Sequence[str]
    ) -> MeasuredLists:
        self._judging()
        ratings = {doc: value for (asked, doc), value in self.card_ratings.items() if asked == query}
        values: dict[str, dict[str, float | None]] = {
            name: {
                metric: sum(ratings.get(doc, 0) > 0 for doc in docs[:5]) / 5 if ratings else None for metric in metrics
            }
            for name, docs in lists.items()
        }
        return MeasuredLists(len(ratings), values)

    def assessors(self, collection: str, query_set: str) -> AssessorAgreement:
        self._judging()
        if query_set == "nur Fragen":
            return AssessorAgreement(query_set, "latest", (), (), 0, None, ())
        return replace(AGREED, rule=self.rule)

    def set_judgment_rule(self, collection: str, query_set: str, rule: str) -> None:
        if rule not in ("latest", "majority", "median"):
            raise BadInput("There is no such rule.")
        self._judging()
        self.rule = rule

    def export_judging_log(self, collection: str, query_set: str) -> str:
        return "event_no,qid\r\n"

    # voting
    def start_blind(
        self, collection: str, pipelines: Sequence[str], *, k: int = 10, query_set: str = "", seed: int | None = None
    ) -> BlindSession:
        if len(set(pipelines)) != 2:
            raise BadInput("A blind comparison is between two different pipelines.")
        self._judging()
        self.voted, self.rounds = {}, []
        return SESSION

    def blind_sessions(self, collection: str) -> tuple[BlindSession, ...]:
        typed = replace(SESSION, session_id="bl-2", query_set="", pipelines=("Dense", LONG))
        return (SESSION, typed) if collection == "Retrieval papers" else ()

    def blind_round(self, collection: str, session_id: str, query: str = "") -> BlindRound:
        self._judging()
        if len(self.rounds) > 5:
            raise BadInput("Every question of the query set 'default' was asked; type one of your own.")
        self.rounds.append(query or f"question {len(self.rounds) + 1}")
        return self.blind_shown(collection, session_id, len(self.rounds))

    def blind_shown(self, collection: str, session_id: str, round_no: int) -> BlindRound:
        self._judging()
        if not 1 <= round_no <= len(self.rounds):
            raise NotFound("The blind comparison has no such round.")
        cards: list[Card] = [
            self._card(doc_id, i + 1, 0.0) for i, doc_id in enumerate(["paper-000", "cjk", "hostile", "long"])
        ]  # type: ignore[attr-defined]
        return BlindRound(session_id, round_no, self.rounds[round_no - 1], tuple(cards[:3]), tuple(cards[1:]))

    def _reveal(self, number: int) -> BlindReveal:
        vote = self.voted[number]
        preferred = {"left": "Hybrid", "right": "BM25"}.get(vote, "")
        return BlindReveal(number, self.rounds[number - 1], vote, "Hybrid", "BM25", preferred)

    def vote(self, collection: str, session_id: str, round_no: int, choice: str, *, voter: str = "me") -> BlindReveal:
        self._judging()
        if round_no in self.voted or not 1 <= round_no <= len(self.rounds):
            raise BadInput(f"Round {round_no} has been voted on.")
        if choice not in ("left", "right", "tie", "bad"):
            raise BadInput("A vote is one of left, right, tie, bad.")
        self.voted[round_no] = choice
        return self._reveal(round_no)

    def blind_results(self, collection: str, session_id: str) -> BlindResults:
        self._judging()
        session = next((one for one in self.blind_sessions(collection) if one.session_id == session_id), None)
        if session is None:
            raise NotFound("There is no such comparison.")
        told = tuple(self._reveal(number) for number in sorted(self.voted))
        wins = (sum(one.preferred == "BM25" for one in told), sum(one.preferred == "Hybrid" for one in told))
        n = sum(wins)
        return BlindResults(
            session=session, wins=wins, ties=sum(one.vote == "tie" for one in told), bad=sum(one.vote == "bad" for one in told),
            share=wins[0] / n if n else None, low=0.1 if n else None, high=0.6 if n else None, p=0.3 if n else None, level=0.95, rounds=told,
        )  # fmt: skip

    def delete_blind(self, collection: str, session_id: str) -> None:
        if session_id not in ("bl-1", "bl-2"):
            raise NotFound("There is no such comparison.")
