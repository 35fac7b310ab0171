"""Blind comparisons: two anonymous columns, a vote, then the names."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from app.results.judging import BlindResults, BlindReveal, BlindRound, BlindSession
from app.results.search import Card
from app.verbs.base import Deck, checked_k, checked_query, writes
from app.verbs.judging import ME, checked_assessor
from app.verbs.pipelines import PipelineVerbs
from app.verbs.querysets import QuerySetVerbs
from engine.errors import BadInput, NotFound, TriptychError
from engine.pipeline.stages import PipelineSpec
from engine.statistics.significance import sign_test, wilson
from engine.types import Ranking
from engine.workspace.votes import MAX_SEED, Round, Session

LEVEL = 0.95


class VotingVerbs(PipelineVerbs, QuerySetVerbs):
    """Which of two pipelines people prefer when they do not know which is which."""

    @writes
    def start_blind(
        self, collection: str, pipelines: Sequence[str], *, k: int = 10, query_set: str = "", seed: int | None = None
    ) -> BlindSession:
        """Begin a blind comparison of two pipelines, as they are now; its questions are typed, or come from a query set. Raises BadInput.

        The sides are drawn from `seed`, by default a random one.
        """
        stored = self._collection(collection)
        if len(set(pipelines)) != 2 or len(pipelines) != 2:
            raise BadInput("A blind comparison is between two different pipelines.")
        if query_set:
            self._known_set(collection, query_set)
        drawn = secrets.randbelow(MAX_SEED) if seed is None else seed
        if not 0 <= drawn < MAX_SEED:
            raise BadInput(f"A seed is a whole number from 0 to {MAX_SEED - 1:,}; got {seed}.")
        spec = {
            "pipelines": {name: self._spec(name).to_yaml() for name in pipelines},
            "k": checked_k(k, 100),
            "query_set": query_set,
        }
        return self._blind_view(self.engine.workspace.blind.begin(stored.collection_id, spec, drawn))

    def blind_sessions(self, collection: str) -> tuple[BlindSession, ...]:
        """The blind comparisons of a collection, newest first."""
        key = self._collection(collection).collection_id
        return tuple(self._blind_view(session) for session in self.engine.workspace.blind.list(key))

    @writes
    def blind_round(self, collection: str, session_id: str, query: str = "") -> BlindRound:
        """Run a question through both pipelines and show them without names; an empty one takes the next of the query set.

        Raises NotFound, BadInput when no question is left, and TriptychError when a pipeline fails (it does not say which).
        """
        session, blind = self._blind(collection, session_id), self.engine.workspace.blind
        text, _ = checked_query(query)
        text = text or self._next_question(session)
        context = self.engine.searcher(session.collection_id).context()
        found = {}
        for name, yaml in session.spec["pipelines"].items():
            try:
                ranking, _ = context.execute(PipelineSpec.from_yaml(yaml).pipeline, Ranking.of([("q", text)]))
            except TriptychError as error:
                raise TriptychError(f"One of the two pipelines failed on this question: {error}") from error
            found[name] = ranking.top(session.spec["k"]).hits["doc_id"].to_list()
        return self._round_view(session, blind.add_round(session, text, found))

    def blind_shown(self, collection: str, session_id: str, round_no: int) -> BlindRound:
        """A round again as it was shown; no pipeline runs. Raises NotFound."""
        session = self._blind(collection, session_id)
        return self._round_view(session, self.engine.workspace.blind.round(session_id, round_no))

    @writes
    def vote(self, collection: str, session_id: str, round_no: int, choice: str, *, voter: str = ME) -> BlindReveal:
        """Vote left, right, tie or bad (both are), once; the names are told. Raises BadInput, NotFound."""
        session = self._blind(collection, session_id)
        name = checked_assessor(voter)
        return _revealed(self.engine.workspace.blind.vote(session.session_id, round_no, choice, name))

    def blind_results(self, collection: str, session_id: str) -> BlindResults:
        """What was voted so far, with the interval of the first pipeline's share and the sign test. Raises NotFound."""
        session = self._blind(collection, session_id)
        voted = [one for one in self.engine.workspace.blind.rounds(session_id) if one.vote is not None]
        rounds = tuple(_revealed(one) for one in voted)
        first, second = session.spec["pipelines"]
        wins = (sum(one.preferred == first for one in rounds), sum(one.preferred == second for one in rounds))
        n = sum(wins)
        low, high = wilson(wins[0], n, LEVEL)
        return BlindResults(
            session=self._blind_view(session),
            wins=wins,
            ties=sum(one.vote == "tie" for one in rounds),
            bad=sum(one.vote == "bad" for one in rounds),
            share=wins[0] / n if n else None,
            low=low if n else None,
            high=high if n else None,
            p=sign_test(*wins) if n else None,
            level=LEVEL,
            rounds=rounds,
        )

    @writes
    def delete_blind(self, collection: str, session_id: str) -> None:
        """Forget a blind comparison with its votes. Raises NotFound."""
        self.engine.workspace.blind.delete(self._blind(collection, session_id).session_id)

    def _blind(self, collection: str, session_id: str) -> Session:
        session = self.engine.workspace.blind.get(session_id)
        if session.collection_id != self._collection(collection).collection_id:
            raise NotFound(f"There is no blind comparison {session_id!r} in {collection!r}.")
        return session

    def _next_question(self, session: Session) -> str:
        """The first question of the query set that was not asked yet. Raises BadInput."""
        asked = {one.query for one in self.engine.workspace.blind.rounds(session.session_id)}
        name = session.spec["query_set"]
        if not name:
            raise BadInput("This comparison has no query set; type a question.")
        texts = self.engine.workspace.documents.queries(session.collection_id, name)["text"].to_list()
        left = [text for text in (checked_query(text)[0] for text in texts) if text and text not in asked]
        if not left:
            raise BadInput(f"Every question of the query set {name!r} was asked; type one of your own.")
        return left[0]

    def _round_view(self, session: Session, one: Round) -> BlindRound:
        deck = Deck(self.engine, session.collection_id, one.query)
        deck.fetch((*one.left_docs, *one.right_docs))

        def cards(docs: Sequence[str]) -> tuple[Card, ...]:
            hits = [(doc_id, rank, 0.0) for rank, doc_id in enumerate(docs, 1)]
            return tuple(replace(card, found_by=(), rating=None) for card in deck.cards(hits))

        return BlindRound(session.session_id, one.round_no, one.query, cards(one.left_docs), cards(one.right_docs))

    def _blind_view(self, session: Session) -> BlindSession:
        rounds = self.engine.workspace.blind.rounds(session.session_id)
        first, second = session.spec["pipelines"]
        return BlindSession(
            session_id=session.session_id,
            pipelines=(first, second),
            k=session.spec["k"],
            query_set=session.spec["query_set"],
            seed=session.seed,
            created_at=session.created_at.isoformat(timespec="seconds"),
            rounds=len(rounds),
            votes=sum(one.vote is not None for one in rounds),
        )


def _revealed(one: Round) -> BlindReveal:
    preferred = {"left": one.left, "right": one.right}.get(one.vote or "", "")
    return BlindReveal(one.round_no, one.query, one.vote or "", one.left, one.right, preferred)
