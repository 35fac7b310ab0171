"""What the server has acknowledged, kept by the other side: the model that everything it shows is held against."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.texts import GONE

GONE_KEPT = 2_000
"""Deleted documents that a collection remembers by name; the ids of older ones are never used again, so to see one is a fault as well."""
FRESH_KEPT = 100
UNJUDGED = -1


@dataclass(slots=True)
class Entry:
    """A document: the versions that it may have, one where the server's last answer leaves no doubt. Only who set `busy` may change it."""

    possible: frozenset[int]
    busy: bool
    size: int
    changed: float = field(default_factory=time.monotonic)

    @property
    def version(self) -> int | None:
        """The version, where it is certain and nobody is changing it."""
        return None if self.busy or len(self.possible) > 1 else next(iter(self.possible))


@dataclass(slots=True)
class Batch:
    """Documents that were sent as one file. `job` is empty until the server has said which job adds them."""

    collection: str
    versions: dict[str, int]
    name: str
    file: Path | None = None
    job: str = ""
    sent: float = field(default_factory=time.monotonic)
    cancelled: bool = False


class Ledger:
    """Every change is begun before it is asked for and acknowledged after the answer; what was cut off in between stays in doubt
    until somebody looks. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._documents: dict[str, dict[str, Entry]] = {}
        self._fresh: deque[tuple[str, str]] = deque(maxlen=FRESH_KEPT)
        self.batches: dict[str, Batch] = {}
        """By job: what the server has taken and not yet added."""
        self.unsettled: deque[Batch] = deque()
        """Batches whose job failed or was cancelled; which of their documents are there has to be looked up."""
        self.cut_off: list[Batch] = []
        """Batches to whose sending there was no answer."""
        self.grades: dict[tuple[str, str], frozenset[int]] = {}
        """By question and document."""
        self.evaluations: list[str] = []

    # documents

    def begin(self, collection: str, versions: Mapping[str, int], size: int = 0) -> None:
        """These documents are about to get these versions; GONE for a deletion."""
        with self._lock:
            entries = self._documents.setdefault(collection, {})
            for doc_id, version in versions.items():
                known = entries.pop(doc_id, None)
                before = known.possible if known else frozenset({GONE})
                entries[doc_id] = Entry(before | {version}, True, size or (known.size if known else 0))

    def acknowledge(self, collection: str, versions: Mapping[str, int]) -> None:
        """They have got them."""
        with self._lock:
            for doc_id, version in versions.items():
                entry = self._documents[collection][doc_id]
                entry.possible, entry.busy, entry.changed = frozenset({version}), False, time.monotonic()
                if version != GONE:
                    self._fresh.append((collection, doc_id))
            self._forget(collection)

    def settle(self, collection: str, doc_id: str, version: int) -> bool:
        """This version was seen while nobody was changing it; false where it cannot be."""
        with self._lock:
            entry = self._documents.get(collection, {}).get(doc_id)
            if entry is None:
                return version == GONE
            right = version in entry.possible
            entry.possible, entry.busy, entry.changed = frozenset({version}), False, time.monotonic()
            return right

    def _forget(self, collection: str) -> None:
        entries = self._documents[collection]
        gone = [doc_id for doc_id, entry in entries.items() if entry.version == GONE]
        for doc_id in gone[: max(0, len(gone) - GONE_KEPT)]:
            del entries[doc_id]

    def begin_all(self, collection: str) -> list[str] | None:
        """A whole collection is about to be deleted: its documents; None where one of them is being changed."""
        with self._lock:
            entries = self._documents.get(collection, {})
            if any(entry.busy for entry in entries.values()):
                return None
            live = [doc_id for doc_id, entry in entries.items() if entry.version != GONE]
            self.begin(collection, dict.fromkeys(live, GONE))
            return live

    def pick(
        self, collection: str, count: int, rng: random.Random, *, gone: bool = False, take: int | None = None
    ) -> dict[str, int]:
        """Up to `count` live (or deleted) documents that nobody is changing, with their versions.

        `take` begins a change of them in the same moment: GONE to delete them, 1 to move them on by one version.
        """
        with self._lock:
            entries = self._documents.get(collection, {})
            free = [
                one for one, entry in entries.items() if entry.version is not None and (entry.version == GONE) == gone
            ]
            picked = {one: entries[one].version or GONE for one in rng.sample(free, min(count, len(free)))}
            if take is not None:
                self.begin(collection, {one: version + take if take else GONE for one, version in picked.items()})
            return picked

    def unchanged(self, collection: str, doc_id: str, version: int, since: float) -> bool:
        """Whether a document had this version, without doubt, from this moment (monotonic) until now."""
        with self._lock:
            entry = self._documents.get(collection, {}).get(doc_id)
            if entry is None:
                return version == GONE
            return entry.version == version and entry.changed < since

    def possible(self, collection: str, doc_id: str) -> frozenset[int]:
        """The versions that a document may have."""
        with self._lock:
            entry = self._documents.get(collection, {}).get(doc_id)
            return entry.possible if entry else frozenset({GONE})

    def expected(self, collection: str) -> dict[str, frozenset[int]]:
        """All documents that are remembered, with the versions that they may have."""
        with self._lock:
            return {doc_id: entry.possible for doc_id, entry in self._documents.get(collection, {}).items()}

    def fresh(self) -> list[tuple[str, str, int]]:
        """What was acknowledged last and is certain: collection, document, version. Empties the list."""
        with self._lock:
            found = [
                (name, one, self._documents[name][one].version or GONE)
                for name, one in self._fresh
                if one in self._documents[name]
            ]
            self._fresh.clear()
            return [item for item in dict.fromkeys(found) if item[2] != GONE]

    def names(self) -> list[str]:
        """The collections that have ever been written to."""
        with self._lock:
            return list(self._documents)

    def live(self, collection: str | None = None) -> tuple[int, int]:
        """How many documents there are, in one or all collections, and their bytes."""
        with self._lock:
            chosen = self._documents if collection is None else {collection: self._documents.get(collection, {})}
            sizes = [
                entry.size for entries in chosen.values() for entry in entries.values() if entry.possible != {GONE}
            ]
            return len(sizes), sum(sizes)

    # batches

    def taken(self, batch: Batch, job: str) -> None:
        """The server has queued a batch as this job."""
        with self._lock:
            batch.job = job
            self.batches[job] = batch

    def ended(self, job: str, status: str) -> Batch | None:
        """A job is over; the batch that it was adding, if it was one."""
        with self._lock:
            batch = self.batches.pop(job, None)
            if batch is None:
                return None
            if status == "done":
                self.acknowledge(batch.collection, batch.versions)
            else:
                self.unsettled.append(batch)
            return batch

    def waiting(self, collection: str | None = None) -> list[Batch]:
        """Batches that are being added."""
        with self._lock:
            return [one for one in self.batches.values() if collection in (None, one.collection)]

    def next_unsettled(self) -> Batch | None:
        """One to look up."""
        with self._lock:
            return self.unsettled.popleft() if self.unsettled else None

    def settled(self) -> list[Batch]:
        """Every document has been looked up: nothing is in doubt any more. Gives the batches that were cut off."""
        with self._lock:
            found, self.cut_off = self.cut_off, []
            for batch in (*self.batches.values(), *self.unsettled, *found):
                if batch.file is not None:
                    batch.file.unlink(missing_ok=True)
            self.batches.clear()
            self.unsettled.clear()
            return found

    # judgments

    def begin_grade(self, qid: str, doc_id: str, grade: int) -> None:
        """A judgment is about to be given, or with UNJUDGED taken back."""
        with self._lock:
            self.grades[qid, doc_id] = self.grades.get((qid, doc_id), frozenset({UNJUDGED})) | {grade}

    def acknowledge_grade(self, qid: str, doc_id: str, grade: int) -> None:
        """It was."""
        with self._lock:
            self.grades[qid, doc_id] = frozenset({grade})
            if grade == UNJUDGED:
                del self.grades[qid, doc_id]

    def graded(self, qid: str) -> list[str]:
        """The documents that are judged for a question."""
        with self._lock:
            return [doc_id for known, doc_id in self.grades if known == qid]

    def settle_grades(self, seen: Mapping[tuple[str, str], int], qids: Iterable[str]) -> list[tuple[str, str]]:
        """Hold the judgments of these questions against what was seen; gives the pairs that are wrong."""
        with self._lock:
            mine = frozenset(qids)
            pairs = {pair for pair in (*self.grades, *seen) if pair[0] in mine}
            wrong = [p for p in pairs if seen.get(p, UNJUDGED) not in self.grades.get(p, frozenset({UNJUDGED}))]
            self.grades = {pair: frozenset({seen[pair]}) for pair in pairs if pair in seen}
            return wrong
