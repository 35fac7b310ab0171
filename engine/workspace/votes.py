"""Blind comparisons of two pipelines: rounds with hidden sides, votes, and what they come to."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import BadInput, NotFound

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

CHOICES = ("left", "right", "tie", "bad")
MAX_SEED = 2**31
_ROUND = "round_no, query, left_pipeline, right_pipeline, left_docs, right_docs, vote, voter"


@dataclass(frozen=True, slots=True)
class Session:
    """A blind comparison. `spec` has the pipelines by name (their YAML), k and the query set."""

    session_id: str
    collection_id: str
    spec: dict[str, Any]
    seed: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """One question of it; `vote` is None until somebody voted."""

    round_no: int
    query: str
    left: str
    right: str
    left_docs: tuple[str, ...]
    right_docs: tuple[str, ...]
    vote: str | None
    voter: str


def first_is_left(seed: int, round_no: int) -> bool:
    """A fair coin for each round; the same for the same seed."""
    return bool(np.random.default_rng([seed, round_no]).integers(2))


class Blind:
    """The blind comparisons of a workspace."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, collection_id: str, spec: Mapping[str, Any], seed: int) -> Session:
        """A new comparison."""
        new = uuid.uuid4().hex
        self._db.execute(
            "a blind comparison",
            "INSERT INTO blind_sessions VALUES (?, ?, ?::JSON, ?, now()::TIMESTAMP)",
            [new, collection_id, json.dumps(dict(spec)), seed],
        )
        return self.get(new)

    def get(self, session_id: str) -> Session:
        """Raises NotFound."""
        found = self._sessions("session_id = ?", session_id)
        if not found:
            raise NotFound(f"There is no blind comparison {session_id!r}.")
        return found[0]

    def list(self, collection_id: str) -> Sequence[Session]:
        """Newest first."""
        return self._sessions("collection_id = ?", collection_id)

    def _sessions(self, where: str, value: str) -> Sequence[Session]:
        rows = self._db.rows(
            f"SELECT session_id, collection_id, spec, seed, created_at FROM blind_sessions WHERE {where} ORDER "
            "BY created_at DESC, rowid DESC",
            [value],
        )
        return [Session(row[0], row[1], json.loads(row[2]), int(row[3]), row[4]) for row in rows]

    def add_round(self, session: Session, query: str, found: Mapping[str, Sequence[str]]) -> Round:
        """Put what both pipelines found (document ids by name) on hidden sides, and keep it."""
        first, second = session.spec["pipelines"]
        with self._db.write("a blind round"):
            number = len(self.rounds(session.session_id)) + 1
            left, right = (first, second) if first_is_left(session.seed, number) else (second, first)
            self._db.execute(
                "a blind round",
                f"INSERT INTO blind_rounds (session_id, {_ROUND}, made_at) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, "
                "'', now()::TIMESTAMP)",
                [session.session_id, number, query, left, right, list(found[left]), list(found[right])],
            )
        return self.round(session.session_id, number)

    def rounds(self, session_id: str) -> Sequence[Round]:
        """In order."""
        rows = self._db.rows(f"SELECT {_ROUND} FROM blind_rounds WHERE session_id = ? ORDER BY round_no", [session_id])
        return [Round(row[0], row[1], row[2], row[3], tuple(row[4]), tuple(row[5]), row[6], row[7]) for row in rows]

    def round(self, session_id: str, round_no: int) -> Round:
        """Raises NotFound."""
        for one in self.rounds(session_id):
            if one.round_no == round_no:
                return one
        raise NotFound(f"The blind comparison has no round {round_no}.")

    def vote(self, session_id: str, round_no: int, choice: str, voter: str) -> Round:
        """Vote once: the names are told afterwards. Raises BadInput on another choice and on a second vote."""
        if choice not in CHOICES:
            raise BadInput(f"A vote is one of {', '.join(CHOICES)}; got {choice!r}.")
        with self._db.write("a vote"):
            if self.round(session_id, round_no).vote is not None:
                raise BadInput(f"Round {round_no} has been voted on, and the names were told; ask the next question.")
            self._db.execute(
                "a vote",
                "UPDATE blind_rounds SET vote = ?, voter = ?, voted_at = now()::TIMESTAMP WHERE session_id = ? "
                "AND round_no = ?",
                [choice, voter, session_id, round_no],
            )
        return self.round(session_id, round_no)

    def delete(self, session_id: str) -> None:
        """Forget a comparison with its votes."""
        with self._db.write("deleting a blind comparison") as cursor:
            for table in ("blind_rounds", "blind_sessions"):
                cursor.execute(f"DELETE FROM {table} WHERE session_id = ?", [session_id]).fetchall()

    def delete_of(self, collection_id: str) -> None:
        """Forget the comparisons of a collection."""
        for session in self.list(collection_id):
            self.delete(session.session_id)
