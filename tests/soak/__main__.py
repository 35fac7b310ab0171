"""An hour of use by ten clients at once, with the server killed every minute or two, and nothing lost: python -m tests.soak, or make soak."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.soak import checks, texts
from tests.soak.clients import SET, SHARED, Client, Field, question_of
from tests.soak.figures import Figures
from tests.soak.ledger import Ledger
from tests.soak.server import CutOff, Page, Server, Wrong

KILL_AFTER = (60.0, 120.0)
"""Seconds that the server lives before it is ended, outside the middle third of the time, in which it is left alone."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WEIGH_SECONDS, MEASURE_SECONDS = 5.0, 60.0
QUESTIONS = 12
"""In the query set that is evaluated, beside one for each client that judges."""


def main() -> int:
    """Run it; 1 where anything was lost or wrong."""
    given = arguments()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # the server is in a session of its own and has to be ended
    with tempfile.TemporaryDirectory(prefix="triptych-soak-") as scratch:
        folder = Path(given.workspace) if given.workspace else Path(scratch) / "workspace"
        if folder.exists() and any(folder.iterdir()):
            print(
                f"{folder} is not empty. The soak begins with a new workspace; name a folder that is empty or not there.",
                file=sys.stderr,
            )
            return 2
        logs = Path(tempfile.mkdtemp(prefix="triptych-soak-logs-"))
        inputs = Path(scratch) / "inputs"
        inputs.mkdir()
        print(f"Workspace {folder}, logs {logs}, seed {given.seed}", flush=True)
        server = Server(folder, logs)
        field = Field(server, Ledger(), Figures(given.minutes), inputs, given.documents, given.clients, given.seed)
        try:
            Soak(field).run()
        except (Wrong, CutOff) as problem:
            field.figures.fault("the soak could not go on", str(problem))
        except KeyboardInterrupt:
            field.figures.fault("stopped early", "what was seen until then is below")
        finally:
            if server.alive():
                server.end(signal.SIGKILL)
        print("\n" + field.figures.report(), flush=True)
        if not any(logs.iterdir()):
            logs.rmdir()
        return 1 if field.figures.wrong else 0


def arguments() -> argparse.Namespace:
    """What is on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--documents", type=int, default=2000, help="how many the collection that all share is kept at")
    parser.add_argument(
        "--workspace", metavar="FOLDER", help="a folder that is empty or not there, and stays; else one that goes"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


class Soak:
    """The course of it."""

    def __init__(self, field: Field) -> None:
        self.field, self.server, self.figures = field, field.server, field.figures
        self.rng = random.Random(f"{field.seed}/kills")
        self.clients = [Client(field, number) for number in range(field.clients)]

    def run(self) -> None:
        """Fill the workspace; act and kill until the time is over; look at everything a last time."""
        self.server.start()
        with Page(self.server) as page:
            self._fill(page)
            self._question(page)
        threads = [threading.Thread(target=one.run, name=f"client {one.number}", daemon=True) for one in self.clients]
        threads += [threading.Thread(target=act, daemon=True) for act in (self._watch, self._weigh, self._measure)]
        self.figures.started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            self._act_and_kill()
        finally:
            self.field.over.set()
            self.field.open.clear()
        self._last_look(threads)

    def _fill(self, page: Page) -> None:
        """The shared collection as it will be kept."""
        first = self.clients[0]
        versions = dict.fromkeys((f"first{n}" for n in range(self.field.documents)), 1)
        self.field.ledger.begin(SHARED, versions, len(texts.text("x", 1)))
        first.send(SHARED, versions)
        while not self.field.watch(page):
            time.sleep(0.5)
        if self.field.ledger.unsettled:
            raise Wrong(f"the first documents could not be added: {self.field.statuses}")

    def _question(self, page: Page) -> None:
        """A query set with judgments, and a question for each client."""
        rng = random.Random(self.field.seed)
        asked = {f"q{n}": texts.question(rng) for n in range(QUESTIONS)} | {
            f"g{n}": question_of(n) for n in range(self.field.clients)
        }
        rows = "".join(f'{{"_id": "{qid}", "text": "{text}"}}\n' for qid, text in asked.items())
        judged = "".join(f"q{n} 0 first{rng.randrange(self.field.documents)} 1\n" for n in range(QUESTIONS))
        paths = [page.upload("queries.jsonl", rows), page.upload("qrels.txt", judged)]
        reply = page.act("questions-bring", f"?tab=evaluate&c={SHARED}", paths=paths, set=SET, what="auto")
        if reply.failed:
            raise Wrong(f"the questions could not be brought: {reply.say}")

    def _act_and_kill(self) -> None:
        self.field.open.set()
        lives = time.monotonic() + self.rng.uniform(*KILL_AFTER)
        while self.figures.elapsed() < self.figures.seconds:
            time.sleep(0.2)
            if not self.server.alive():
                self.figures.fault("the server ended by itself", self.server.errors()[-1500:])
            elif time.monotonic() < lives or self.figures.calm():
                continue
            self._restart(self.rng.choice(SIGNALS))
            lives = time.monotonic() + self.rng.uniform(*KILL_AFTER)

    def _restart(self, how: signal.Signals) -> None:
        self.figures.kills[how.name] += 1
        for wrong in self.server.end(how):
            self.figures.fault(f"an end by {how.name}", wrong)
        self.field.close()
        begun = time.monotonic()
        self.server.start()
        with Page(self.server) as page:
            page.act("open")
            self.figures.recoveries.append(time.monotonic() - begun)
            checks.Check(self.field, page).run()
        self.field.open.set()

    def _last_look(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join()
        with Page(self.server) as page:
            checks.Check(self.field, page).run()
        for wrong in self.server.end(signal.SIGTERM):
            self.figures.fault("the last end", wrong)
        checks.contents(self.field)
        for found in checks.doctor(self.server.workspace):
            self.figures.fault("doctor", found)

    # beside the clients

    def _watch(self) -> None:
        """Follow the jobs."""
        page: Page | None = None
        while not self.field.over.wait(1.0):
            try:
                with self.field.acting() as allowed:
                    if allowed:
                        page = page or Page(self.server)
                        self.field.watch(page)
            except (CutOff, Wrong) as problem:
                if isinstance(problem, Wrong) and not self.server.ending:
                    self.figures.fault("an answer", f"jobs: {problem}")
                if page is not None:
                    page.close()
                page = None
        if page is not None:
            page.close()

    def _weigh(self) -> None:
        while not self.field.over.wait(WEIGH_SECONDS):
            if self.field.open.is_set():
                self.figures.weigh(self.server.rss())

    def _measure(self) -> None:
        while not self.field.over.wait(MEASURE_SECONDS):
            if self.field.open.is_set():
                self.figures.measure(self.server.workspace, *self.field.ledger.live())
            print(self.figures.line(len(self.field.queue)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
