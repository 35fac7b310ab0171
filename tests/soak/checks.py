"""Everything that a server shows after a restart, held against the ledger while no client acts."""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path

from tests.soak import texts
from tests.soak.clients import JOB_SECONDS, PIPELINES, SET, SHARED, Field, address
from tests.soak.server import Page, Wrong, plain
from tests.soak.texts import GONE

COLLECTION = re.compile(r'<tr[^>]* data-key="([^"]+)"')
EVALUATION = re.compile(r'data-key="([^"]+)"')
READ = 25
"""Documents of each kind that are opened and compared word for word, besides those that were acknowledged last."""
VERSION = re.compile(r" v(\d+) ")


class Check:
    """One look at everything."""

    def __init__(self, field: Field, page: Page) -> None:
        self.field, self.ledger, self.figures, self.page = field, field.ledger, field.figures, page
        self.rng = random.Random(f"{field.seed}/{field.server.lives}")

    def run(self) -> None:
        """Wait for the jobs that go on, then look."""
        self._jobs_end()
        present = self._collections()
        seen = {name: self._listed(name) if name in present else {} for name in self.ledger.names()}
        for unknown in present - set(seen):
            self.figures.fault("a collection that nobody made", unknown)
        for name, versions in seen.items():
            self._compare(name, versions)
        for batch in self.ledger.settled():
            there = [seen[batch.collection].get(one) == version for one, version in batch.versions.items()]
            self.figures.checked["batches cut off"] += 1
            if any(there) and not all(there):
                self.figures.fault("a batch is there in part", f"{batch.name}: {sum(there)} of {len(there)}")
        self._texts()
        self._deletions()
        self._searches()
        self._grades()
        self._evaluations()

    def _jobs_end(self) -> None:
        deadline = time.monotonic() + JOB_SECONDS
        while not self.field.watch(self.page):
            if time.monotonic() > deadline:
                raise Wrong(f"jobs do not end: {self.field.queue}")
            time.sleep(0.5)

    def _collections(self) -> set[str]:
        main = self.page.act("open", "?tab=library").region("tp-main")
        table = main.partition('id="lib-collections"')[2].partition('id="lib-indexes"')[0]
        return set(COLLECTION.findall(table))

    def _listed(self, name: str) -> dict[str, int]:
        """All documents of a collection with their versions, page by page."""
        found: dict[str, int] = {}
        offset = 0
        while listed := self.page.act("page", address("search", name, p="BM25"), offset=offset).listed():
            for doc_id, title in listed:
                version = VERSION.search(title)
                if doc_id in found:
                    self.figures.fault("a document is listed twice", f"{doc_id} in {name}")
                found[doc_id] = int(version.group(1)) if version else -1
            offset += len(listed)
        return found

    def _compare(self, name: str, seen: dict[str, int]) -> None:
        expected = self.ledger.expected(name)
        for doc_id in seen.keys() - expected.keys():
            self.figures.fault("a document that was deleted long ago, or never sent", f"{doc_id} in {name}")
        for doc_id, possible in expected.items():
            version = seen.get(doc_id, GONE)
            if not self.ledger.settle(name, doc_id, version):
                kind = (
                    "LOST" if version == GONE else "a deletion was undone" if possible == {GONE} else "another version"
                )
                self.figures.fault(kind, f"{doc_id} in {name} is v{version}, and should be one of {sorted(possible)}")
        self.figures.checked["documents listed"] += len(seen)

    def _texts(self) -> None:
        sample = [(SHARED, one, version) for one, version in self.ledger.pick(SHARED, READ, self.rng).items()]
        for name, doc_id, version in (*self.ledger.fresh(), *sample):
            shown = plain(self.page.act("read", address("search", name, p="BM25"), doc=doc_id).region("tp-side"))
            if texts.text(doc_id, version) not in shown or texts.title(doc_id, version) not in shown:
                self.figures.fault("LOST", f"the text of {doc_id} v{version} in {name}: {shown[:300]}")
            self.figures.checked["texts"] += 1

    def _deletions(self) -> None:
        for name in self.ledger.names():
            for doc_id in self.ledger.pick(name, 5, self.rng, gone=True):
                shown = self.page.act("read", address("search", name, p="BM25"), doc=doc_id).region("tp-side")
                if "Digest" in shown:
                    self.figures.fault("a deleted document was shown", f"{doc_id} in {name}")
                self.figures.checked["deletions"] += 1

    def _searches(self) -> None:
        since = time.monotonic()
        for pipeline in PIPELINES:
            for _ in range(3):
                reply = self.page.act("search", address("search", SHARED, p=pipeline), query=texts.question(self.rng))
                for doc_id in reply.hits():
                    if self.ledger.unchanged(SHARED, doc_id, GONE, since):
                        self.figures.fault("a deleted document was found", f"{doc_id} by {pipeline} after a restart")
                self.figures.checked["hits"] += len(reply.hits())
                if "box-error" in reply.html:
                    self.figures.fault(
                        "no search after a restart", f"{pipeline}: {plain(reply.region('tp-results'))[:300]}"
                    )

    def _grades(self) -> None:
        text = self.page.act(
            "set-export", address("evaluate", SHARED), name=SET, what="judgments", format="trec"
        ).download()
        rows = [line.split() for line in text.splitlines()]
        seen = {(qid, doc_id): int(grade) for qid, _, doc_id, grade in rows}
        for pair in self.ledger.settle_grades(seen, [f"g{n}" for n in range(self.field.clients)]):
            self.figures.fault("LOST", f"the judgment of {pair}: it is {seen.get(pair)}")
        self.figures.checked["judgments"] += len(self.ledger.grades)

    def _evaluations(self) -> None:
        page = self.page.act("open", address("evaluate", SHARED, o_all="yes")).region("tp-main")
        seen = EVALUATION.findall(page.partition('id="ev-history"')[2])
        for lost in [one for one in self.ledger.evaluations if one not in seen]:
            self.figures.fault("LOST", f"the evaluation {lost}")
        self.figures.checked["evaluations"] += len(self.ledger.evaluations)
        self.ledger.evaluations = list(
            dict.fromkeys(reversed(seen))
        )  # with those whose client was cut off, oldest first


def contents(field: Field) -> None:
    """Every document of the stopped workspace, word for word, read without the server."""
    from engine.workspace.workspace import Workspace

    with Workspace.open(field.server.workspace, read_only=True) as workspace:
        for collection in workspace.collections():
            expected = field.ledger.expected(collection.name)
            rows = workspace.query(
                "SELECT doc_id, title, text FROM documents WHERE collection_id = ?", [collection.collection_id]
            )
            stored = {doc_id: (title, text) for doc_id, title, text in rows.iter_rows()}
            for doc_id, possible in expected.items():
                right = [
                    None if version == GONE else (texts.title(doc_id, version), texts.text(doc_id, version))
                    for version in possible
                ]
                if stored.get(doc_id) not in right:
                    field.figures.fault("LOST", f"{doc_id} in {collection.name}, in the database: {stored.get(doc_id)}")
            for doc_id in stored.keys() - expected.keys():
                field.figures.fault(
                    "a document that was deleted long ago, or never sent",
                    f"{doc_id} in {collection.name}, in the database",
                )
            field.figures.checked["texts in the database"] += len(stored)


def doctor(folder: Path) -> list[str]:
    """What `triptych doctor` finds broken, or reports by its exit code."""
    import json
    import subprocess

    command = [sys.executable, "-m", "app", "doctor", "--json", "--workspace", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    try:
        findings = json.loads(ran.stdout)
    except ValueError:
        return [f"exit code {ran.returncode}: {ran.stderr[-500:]}"]
    rows = findings if isinstance(findings, list) else findings["findings"]
    bad = [f"{row['what']}" for row in rows if row["level"] == "error"]
    return bad or ([f"exit code {ran.returncode}"] if ran.returncode else [])
