"""Clients that use the workbench all at once, each as one open page would, and note in the ledger what they were told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from tests.soak import texts
from tests.soak.figures import Figures
from tests.soak.ledger import UNJUDGED, Batch, Ledger
from tests.soak.server import CutOff, Page, Reply, Server, Wrong, error, plain
from tests.soak.texts import GONE

SHARED, SET = "shared", "soak"
PIPELINES = ("BM25", "Dense", "Hybrid")
MOST_WAITING = 8
"""Jobs in the queue above which no client asks for another one."""
JOB_SECONDS = 900
"""A job that has not ended after so long is stuck."""
PRIVATE_DOCUMENTS, MOST_GRADES, MOST_EVALUATIONS = 60, 40, 3
OVER = ("done", "failed", "cancelled")


@dataclass(eq=False)
class Field:
    """What all clients work on. They act while `open` is set; `documents` is how many the shared collection is kept at."""

    server: Server
    ledger: Ledger
    figures: Figures
    inputs: Path
    documents: int
    clients: int
    seed: int

    def __post_init__(self) -> None:
        self.open = threading.Event()
        self.over = threading.Event()
        self._acting = 0
        self._changed = threading.Condition()
        self.queue: dict[str, float] = {}
        """Jobs that have not ended, and when they were first seen so."""
        self.statuses: dict[str, tuple[str, str]] = {}
        """Of the jobs in the table: how each stands, and its error."""
        self.evaluating = threading.Lock()

    @contextmanager
    def acting(self) -> Iterator[bool]:
        """A place among those that act; false where the field is closed."""
        with self._changed:
            allowed = self.open.is_set()
            self._acting += allowed
        try:
            yield allowed
        finally:
            with self._changed:
                self._acting -= allowed
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody begin, and wait until everybody has ended."""
        with self._changed:
            self.open.clear()
            self._changed.wait_for(lambda: not self._acting)

    def watch(self, page: Page) -> bool:
        """Look at the job table once, and settle what has ended; whether nothing is left to wait for."""
        before = set(self.queue)
        listed = page.act("jobs", "?tab=library", running=",".join(before)).jobs()
        self.statuses = {job: (status, why) for job, status, _, why in listed}
        now = time.monotonic()
        active = {job for job, status, _, _ in listed if status not in OVER}
        self.queue = {job: self.queue.get(job, now) for job in active}
        for job, status, label, why in listed:
            if status in OVER and (job in before or job in self.ledger.batches):
                self._ended(job, status, label, why)
        for job, since in self.queue.items():
            if now - since > JOB_SECONDS:
                self.figures.fault("a job is stuck", f"{job} {self.statuses[job]}")
                self.queue[job] = now
        return not active

    def _ended(self, job: str, status: str, label: str, why: str) -> None:
        kind = "job: " + label.split()[0].lower()
        self.figures.count(kind, "failed" if status == "failed" else "done", why if status == "failed" else "")
        if status == "failed" and (not why or why.startswith("Unexpected")):
            self.figures.fault("a job failed without a reason of the user's", f"{job} {label}: {why}")
        batch = self.ledger.ended(job, status)
        if batch is not None and batch.file is not None:
            batch.file.unlink(missing_ok=True)


def address(page: str, collection: str, **options: str | tuple[str, ...]) -> str:
    """The address of a page; options of it are written o_name."""
    pairs = [("tab", page), ("c", collection)]
    for name, value in options.items():
        pairs += [(name.replace("o_", "o.", 1), one) for one in ([value] if isinstance(value, str) else value)]
    return "?" + urlencode(pairs)


class Client:
    """One of them. It has a collection of its own, which it fills and deletes again, and takes part in the shared one."""

    def __init__(self, field: Field, number: int) -> None:
        self.field, self.ledger, self.figures = field, field.ledger, field.figures
        self.number = number
        self.rng = random.Random(f"{field.seed}/{number}")
        self.private = f"private {number}"
        self.qid = f"g{number}"
        self.page: Page | None = None
        self._names = 0
        self.operations: dict[str, tuple[int, Callable[[], str]]] = {
            "search": (40, self.search),
            "compare": (8, self.compare),
            "read": (10, self.read),
            "read a deleted one": (4, self.read_deleted),
            "browse": (4, self.browse),
            "add": (14, self.add),
            "delete documents": (12, self.delete),
            "delete a collection": (4, self.delete_collection),
            "evaluate": (1, self.evaluate),
            "export": (4, self.export),
            "judge": (6, self.judge),
            "keep": (3, self.keep),
            "cancel a job": (1, self.cancel),
            "update indexes": (1, self.index),
            "look after a job": (6, self.look),
        }

    def run(self) -> None:
        """Act until the soak is over."""
        while not self.field.over.is_set():
            if self.field.open.wait(0.5):
                with self.field.acting() as allowed:
                    if allowed:
                        self._act()
        self._close()

    def _act(self) -> None:
        names = list(self.operations)
        name = self.rng.choices(names, [self.operations[one][0] for one in names])[0]
        try:
            outcome = self.operations[name][1]()
        except (CutOff, Wrong) as problem:
            self._close()
            if isinstance(problem, Wrong) and not self.field.server.ending:
                self.figures.fault("an answer", f"{name}: {problem}")
            else:
                self.figures.count(name, "cut off")
            time.sleep(0.2)
        else:
            if outcome:
                kind, _, reason = outcome.partition(": ")
                self.figures.count(name, kind, reason)
            time.sleep(self.rng.uniform(0.0, 0.3))

    def _close(self) -> None:
        if self.page is not None:
            self.page.close()
        self.page = None

    def _ask(self, action: str, url: str, **args: object) -> Reply:
        if self.page is None:
            self.page = Page(self.field.server)
        return self.page.act(action, url, **args)

    # reading

    def _collection(self) -> str:
        return self.rng.choice([SHARED, SHARED, SHARED, self.private])

    def _holds(self, reply: Reply, collection: str, since: float) -> str:
        """Hold the hits of a reply against the ledger; gives how the operation ended."""
        for doc_id in reply.hits():
            if self.ledger.unchanged(collection, doc_id, GONE, since):
                self.figures.fault("a deleted document was found", f"{doc_id} in {collection}")
        self.figures.checked["hits"] += len(reply.hits())
        return _outcome(reply, _shown(reply))

    def search(self) -> str:
        """One pipeline, sometimes a further page."""
        collection, pipeline, since = self._collection(), self.rng.choice(PIPELINES), time.monotonic()
        url = address("search", collection, p=pipeline)
        reply = self._ask("search", url, query=texts.question(self.rng))
        self.figures.searched(time.monotonic() - since)
        return self._holds(reply, collection, since)

    def compare(self) -> str:
        """Three pipelines beside each other."""
        since = time.monotonic()
        return self._holds(
            self._ask("compare", address("compare", SHARED, col=PIPELINES), query=texts.question(self.rng)),
            SHARED,
            since,
        )

    def browse(self) -> str:
        """A page of all documents."""
        collection, since = self._collection(), time.monotonic()
        offset = 20 * self.rng.randrange(max(1, self.ledger.live(collection)[0] // 20))
        return self._holds(self._ask("page", address("search", collection, p="BM25"), offset=offset), collection, since)

    def read(self) -> str:
        """A document that must be there, word for word."""
        collection, since = self._collection(), time.monotonic()
        for doc_id, version in self.ledger.pick(collection, 1, self.rng).items():
            shown = self._ask("read", address("search", collection, p="BM25"), doc=doc_id).region("tp-side")
            if texts.text(doc_id, version) in plain(shown):
                self.figures.checked["texts"] += 1
            elif self.ledger.unchanged(collection, doc_id, version, since):
                self.figures.fault(
                    "a document is not there",
                    f"{doc_id} v{version} in {collection}: {plain(error(shown)) or plain(shown)[:300]}",
                )
            return "done"
        return ""

    def read_deleted(self) -> str:
        """A document that must not be there."""
        collection, since = self._collection(), time.monotonic()
        for doc_id in self.ledger.pick(collection, 1, self.rng, gone=True):
            shown = self._ask("read", address("search", collection, p="BM25"), doc=doc_id).region("tp-side")
            if "Digest" in shown and self.ledger.unchanged(collection, doc_id, GONE, since):
                self.figures.fault("a deleted document was shown", f"{doc_id} in {collection}")
            self.figures.checked["deletions"] += 1
            return "done"
        return ""

    def export(self) -> str:
        """A file of what is shown."""
        action, url, args = self.rng.choice(
            [
                ("export-compare", address("compare", SHARED, col=PIPELINES, q=texts.question(self.rng)), {}),
                ("report-compare", address("compare", SHARED, col=PIPELINES, q=texts.question(self.rng)), {}),
                ("export-shortlist", address("search", SHARED), {"format": self.rng.choice(["csv", "ris", "bibtex"])}),
                ("set-export", address("evaluate", SHARED), {"name": SET, "what": "queries", "format": "beir"}),
                ("jd-export", address("judge", SHARED), {"name": SET, "format": "log"}),
            ]
        )
        return _outcome(self._ask(action, url, **args))

    # writing

    def add(self) -> str:
        """A file, uploaded or on the server's disk: new documents, and some that are changed."""
        collection = self.rng.choice([SHARED, self.private])
        most = self.field.documents if collection == SHARED else PRIVATE_DOCUMENTS
        if len(self.field.queue) >= MOST_WAITING or self.ledger.live(collection)[0] >= most:
            return ""
        versions = dict.fromkeys((self._name() for _ in range(self.rng.randint(5, 30))), 1)
        self.ledger.begin(collection, versions, len(texts.text("x", 1)))
        changed = {one: version + 1 for one, version in self.ledger.pick(collection, 3, self.rng, take=1).items()}
        return self.send(collection, versions | changed)

    def _name(self) -> str:
        self._names += 1
        return f"c{self.number}n{self._names}"

    def send(self, collection: str, versions: dict[str, int]) -> str:
        """Add these documents, which were begun."""
        form, write = self.rng.choice([("jsonl", texts.jsonl), ("bib", texts.bibtex)])
        batch = Batch(collection, versions, f"{self._name()}.{form}")
        try:
            if self.rng.random() < 0.5:
                batch.file = self.field.inputs / batch.name
                batch.file.write_text(write(versions))
                path = str(batch.file)
            else:
                self.page = self.page or Page(self.field.server)
                path = self.page.upload(batch.name, write(versions))
            index = self.rng.random() < 0.8
            reply = self._ask("add", "?tab=library", paths=[path], target=collection, duplicates="replace", index=index)
        except (CutOff, Wrong):
            self.ledger.cut_off.append(batch)
            raise
        if reply.failed:
            self.ledger.unsettled.append(batch)
            return _outcome(reply)
        job = next((job for job, _, label, _ in reply.jobs() if batch.name in label), "")
        if not job:
            raise Wrong(f"the job of {batch.name} is not in the table that came with it")
        self.ledger.taken(batch, job)
        self.field.queue.setdefault(job, time.monotonic())
        return "done"

    def look(self) -> str:
        """See which documents of a failed or cancelled job are there."""
        batch = self.ledger.next_unsettled()
        if batch is None:
            return ""
        try:
            for doc_id in batch.versions:
                shown = plain(
                    self._ask("read", address("search", batch.collection, p="BM25"), doc=doc_id).region("tp-side")
                )
                found = next(
                    (v for v in self.ledger.possible(batch.collection, doc_id) if v and texts.text(doc_id, v) in shown),
                    GONE,
                )
                if not self.ledger.settle(batch.collection, doc_id, found):
                    self.figures.fault("after what ended early", f"{doc_id} in {batch.collection}: {shown[:300]}")
        except (CutOff, Wrong):
            self.ledger.unsettled.append(batch)
            raise
        return "done"

    def delete(self) -> str:
        """Some documents, one after the other."""
        if self.ledger.live(SHARED)[0] < 0.9 * self.field.documents:
            return ""
        left = list(self.ledger.pick(SHARED, 6, self.rng, take=GONE))
        try:
            while left:
                reply = self._ask("delete-document", address("search", SHARED, p="BM25"), doc=left[0])
                if reply.failed:
                    return _outcome(reply)
                self.ledger.acknowledge(SHARED, {left[0]: GONE})
                if left.pop(0) in reply.hits():
                    self.figures.fault("a deleted document was found", "on the page that said that it is gone")
        finally:
            self._doubt(SHARED, left)
        return "done"

    def _doubt(self, collection: str, doc_ids: list[str]) -> None:
        """Let somebody look which of these are there."""
        if doc_ids:
            self.ledger.unsettled.append(Batch(collection, dict.fromkeys(doc_ids, GONE), ""))

    def delete_collection(self) -> str:
        """Its own collection, when it is full."""
        if self.ledger.live(self.private)[0] < PRIVATE_DOCUMENTS / 2 or self.ledger.waiting(self.private):
            return ""
        documents = self.ledger.begin_all(self.private)
        if documents is None:
            return ""
        reply = self._ask("delete-collection", "?tab=library", name=self.private, typed=self.private)
        if reply.failed:
            self._doubt(self.private, documents)
        else:
            self.ledger.acknowledge(self.private, dict.fromkeys(documents, GONE))
        return _outcome(reply)

    def judge(self) -> str:
        """Grade a document for a question that nobody else judges, or take a grade back."""
        known = self.ledger.graded(self.qid)
        back = len(known) >= MOST_GRADES
        doc_id = self.rng.choice(known) if back else next(iter(self.ledger.pick(SHARED, 1, self.rng)), "")
        if not doc_id:
            return ""
        grade = UNJUDGED if back else self.rng.randint(0, 3)
        self.ledger.begin_grade(self.qid, doc_id, grade)
        url = address("search", SHARED, p="BM25", q=question_of(self.number))
        reply = self._ask("grade", url, doc=doc_id, grade="" if back else str(grade), rank="1")
        if not reply.failed:
            self.ledger.acknowledge_grade(self.qid, doc_id, grade)
        return _outcome(reply)

    def keep(self) -> str:
        """On the shortlist, and off it."""
        for doc_id in self.ledger.pick(SHARED, 1, self.rng):
            for state in ("on", "off"):
                reply = self._ask("star", address("search", SHARED, p="BM25"), doc=doc_id, state=state)
            return _outcome(reply)
        return ""

    def evaluate(self) -> str:
        """Evaluate two pipelines, export the result, and delete an older one."""
        if len(self.field.queue) >= MOST_WAITING or not self.field.evaluating.acquire(blocking=False):
            return ""
        try:
            reply = self._ask("ev-run", address("evaluate", SHARED, o_set=SET, o_pipe=("BM25", "Dense")))
            return _outcome(reply) if reply.failed else self._evaluated(reply.url)
        finally:
            self.field.evaluating.release()

    def _evaluated(self, url: str) -> str:
        job = _option(url, "job")
        self.field.queue.setdefault(job, time.monotonic())
        deadline = time.monotonic() + JOB_SECONDS
        while self.field.statuses.get(job, ("", ""))[0] not in OVER:
            if time.monotonic() > deadline or not self.field.open.is_set():
                return ""  # the watch says whether it is stuck
            time.sleep(0.5)
        status, why = self.field.statuses[job]
        if status != "done":
            return f"failed: {status} {why}"
        url = self._ask("open", url).url
        found = _option(url, "run")
        if not found:
            raise Wrong(f"the evaluation of the job {job}, which is done, is not there")
        self.ledger.evaluations.append(found)
        for form in ("csv", "markdown"):
            self._ask("ev-export", url, format=form, table="leaderboard")
        self._ask("ev-report", url)
        if len(self.ledger.evaluations) > MOST_EVALUATIONS:
            self._ask("ev-delete", url, id=self.ledger.evaluations.pop(0))
        return "done"

    def cancel(self) -> str:
        """A job of those that add."""
        waiting = self.ledger.waiting()
        if not waiting:
            return ""
        batch = self.rng.choice(waiting)
        batch.cancelled = True
        reply = self._ask("job-cancel", "?tab=library", job=batch.job)
        return "done" if "already" in reply.say else _outcome(reply)

    def index(self) -> str:
        """Bring the indexes up to date."""
        if len(self.field.queue) >= MOST_WAITING:
            return ""
        return _outcome(self._ask("index", address("library", SHARED), name=SHARED))


def question_of(number: int) -> str:
    """The question that a client judges for."""
    return texts.question(random.Random(f"question {number}")) + f" of client {number}"


def _option(url: str, name: str) -> str:
    return parse_qs(url.removeprefix("?")).get(f"o.{name}", [""])[0]


def _shown(reply: Reply) -> str:
    """The error in place of results, if there is one."""
    return plain(error(reply.region("tp-results") or reply.region("tp-board")))


def _outcome(reply: Reply, shown: str = "") -> str:
    """How an operation ended: "done", "waiting" for an index, "busy", or "failed: reason"."""
    if reply.busy:
        return "busy"
    if reply.failed:
        return f"failed: {_general(reply.say)}"
    if "box-wait" in reply.html:
        return "waiting"
    return f"failed: {_general(shown)}" if shown else "done"


def _general(reason: str) -> str:
    """A reason without the names in it, so that equal ones can be counted."""
    return " ".join("…" if any(c.isdigit() for c in word) else word for word in reason[:160].split(". ")[0].split())
