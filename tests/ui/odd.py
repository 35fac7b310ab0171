"""Real workspaces in the states in which a page has little, or something else, to show than usual."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.ui.frame.site import site
from app.ui.web.dispatch import Access, Dispatcher, Ui
from app.ui.web.session import UiState
from app.ui.web.uploads import Uploads
from app.verbs.services import Services
from engine.jobs.add import AddJob
from engine.serving.engine import Engine
from engine.serving.running import Running
from engine.types import Judgment, Progress, Query, Record

NAME = "Papers"
WORDS = ("sparse", "dense", "fusion", "onion", "bread", "token")
LOST = "pipeline:\n- component_that_is_gone: {}\n"
MISSING = "pipeline:\n- dense: {model: a-model-that-is-gone}\n"


@dataclass
class World:
    """A workspace, what its server allows, and the address at which it is looked at."""

    services: Services
    access: Access = field(default_factory=Access)
    state: UiState = field(default_factory=UiState)

    def __post_init__(self) -> None:
        uploads = Uploads(self.services.folder, create=self.access.write)
        self.dispatcher = Dispatcher(Ui(self.services, self.access, uploads), site())

    def call(self, action: str, state: UiState | None = None, args: Any = None, **given: Any) -> dict[str, Any]:
        """What the server answers to the page."""
        url = (state or self.state).to_query()
        return self.dispatcher.call({"action": action, "url": url, "args": given if args is None else args})


def fill(services: Services, name: str = NAME) -> str:
    """A dozen short documents, and no index. Gives the collection's id."""
    services.create_collection(name)
    key = services.engine.workspace.collection(name).collection_id
    records = [
        Record(f"p{n}", f"{WORDS[n % 6]} study {n}", f"We relate {WORDS[n % 5]} to rank {n}.", year=2000 + n, venue="SIGIR")
        for n in range(12)
    ]  # fmt: skip
    services.engine.workspace.documents.upsert(key, records, "test")
    return key


def index(services: Services) -> None:
    """The indexes of BM25 and Dense."""
    job = services.wait(services.index(NAME, list(services.needed_indexes(["BM25", "Dense"]))), 120)
    assert job.status == "done", job.error


def ask(services: Services, key: str, *, judged: bool) -> None:
    """Six questions, and judgments on them or not."""
    documents = services.engine.workspace.documents
    documents.add_queries(key, [Query(str(n), f"{WORDS[n]} study") for n in range(6)])
    if judged:
        documents.add_judgments(key, [Judgment(str(n), f"p{m}", (n + m) % 3) for n in range(6) for m in range(6)])


def measure(services: Services, pair: Sequence[str] = ("BM25", "Dense")) -> UiState:
    """One of everything that is made from judgments, and the address that names it all."""
    pair = [*pair]
    jobs = {
        "evaluation": services.start_evaluation(NAME, pair, query_set="default", metrics=["nDCG@10", "P@5"]),
        "other": services.start_evaluation(NAME, pair, query_set="default", metrics=["nDCG@10"]),
        "calibration": services.start_calibration(NAME, pair[:1], query_set="default", folds=2),
        "disagreement": services.start_disagreement(NAME, pair, query_set="default"),
    }
    queue = services.start_queue(NAME, pair, depth=3)
    ended = {name: services.wait(job, 120) for name, job in jobs.items()}
    assert {job.status for job in ended.values()} == {"done"}, [job.error for job in ended.values()]
    services.wait(queue.job_id, 120)
    blind = services.start_blind(NAME, pair)
    services.blind_round(NAME, blind.session_id, "dense study")
    return UiState(collection=NAME, query="dense study", document="p1").with_options(
        run=ended["evaluation"].result,
        beside=ended["other"].result,
        disagree=ended["disagreement"].result,
        queue=queue.queue_id,
        session=blind.session_id,
        round="1",
        seen="0",
        means="yes",
        bounds="yes",
    )


@contextmanager
def held(services: Services, phase: str) -> Iterator[str]:
    """A job that adds documents and stays in one phase for as long as this is open. Gives its id."""
    real, entered, go = AddJob.run, threading.Event(), threading.Event()

    def waiting(asked: AddJob, engine: Engine, running: Running) -> None:
        running(Progress(phase, 3, 10, "documents"))
        entered.set()
        while not go.wait(0.01):
            running.check()
        real(asked, engine, running)

    source = services.folder.parent / "more.jsonl"
    source.write_text('{"id": "n1", "title": "new"}\n')
    AddJob.run = waiting  # type: ignore[method-assign]
    try:
        job_id = services.add([str(source)], NAME, index=False)
        assert entered.wait(30)
        yield job_id
    finally:
        go.set()
        services.wait(job_id, 60)
        AddJob.run = real  # type: ignore[method-assign]


def failed(services: Services) -> str:
    """A job that failed: its index needs a model that is not there."""
    job = services.wait(services.index(NAME, [{"dense": {"model": "a-model-that-is-gone"}}]), 60)
    assert job.status == "failed"
    return job.job_id


Maker = Callable[[Path, Callable[[Path], UiState]], Iterator[World]]
"""Makes a world in a folder of its own. The second argument lays a copy of a workspace with one of everything into a folder, which is quicker
than to make it anew, and gives the address that names it all."""
ASKED = UiState(collection=NAME, query="dense")


def first_start(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "not" / "yet" / "there") as services:
        yield World(services)


def empty(folder: Path, full: Any) -> Iterator[World]:
    Services(folder / "w").close()
    with Services(folder / "w") as services:
        yield World(services)


def empty_read_only(folder: Path, full: Any) -> Iterator[World]:
    Services(folder / "w").close()
    with Services(folder / "w", read_only=True) as services:
        yield World(services, Access(write=False))


def unknown_in_empty(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        yield World(services, state=ASKED.with_(collection="Nowhere"))


def unknown(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        fill(services)
        yield World(services, state=ASKED.with_(collection="Nowhere"))


def without_documents(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        services.create_collection(NAME)
        yield World(services, state=ASKED)


def without_documents_read_only(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        services.create_collection(NAME)
    with Services(folder / "w", read_only=True) as services:
        yield World(services, Access(write=False), ASKED)


def without_indexes(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        fill(services)
        yield World(services, state=ASKED)


def without_questions(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        fill(services)
        index(services)
        yield World(services, state=ASKED)


def without_judgments(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        key = fill(services)
        index(services)
        ask(services, key, judged=False)
        yield World(services, state=ASKED)


def judged_without_indexes(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        ask(services, fill(services), judged=True)
        yield World(services, state=ASKED)


def adding_first(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        services.create_collection(NAME)
        with held(services, "add"):
            yield World(services, state=ASKED)


def adding_more(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        ask(services, fill(services), judged=True)
        with held(services, "index") as job:
            yield World(services, state=ASKED.with_options(job=job))


def paused(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        services.create_collection(NAME)
        with held(services, "add") as job:
            services.pause(job)
            assert services.wait(job, 30).status == "paused"
            yield World(services, state=ASKED.with_options(job=job))


def after_failure(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        ask(services, fill(services), judged=True)
        job = failed(services)
        yield World(services, state=ASKED.with_options(job=job))


def filled(folder: Path, full: Callable[[Path], UiState]) -> Iterator[World]:
    state = full(folder / "w")
    with Services(folder / "w") as services:
        yield World(services, state=state)


def read_only(folder: Path, full: Callable[[Path], UiState]) -> Iterator[World]:
    state = full(folder / "w")
    with Services(folder / "w", read_only=True) as services:
        yield World(services, Access(write=False), state)


def reader(folder: Path, full: Callable[[Path], UiState]) -> Iterator[World]:
    for world in filled(folder, full):
        state = world.state.with_options(of="Late")  # which has no index, and whose building is for others
        yield World(world.services, Access(write=False, server_paths=False), state)


def unknown_ids(folder: Path, full: Callable[[Path], UiState]) -> Iterator[World]:
    for world in filled(folder, full):
        gone = UiState(
            collection=NAME, query="dense", pipeline="gone", columns=("gone", "BM25"), document="gone", subject="gone",
            filters=(("gone", ("x",)),), offset=99_999,
        )  # fmt: skip
        names = dict.fromkeys((name for name, _ in world.state.options), "gone")
        yield World(world.services, state=gone.with_options(job="gone", set="gone", of="gone", **names))


def broken_pipelines(folder: Path, full: Any) -> Iterator[World]:
    with Services(folder / "w") as services:
        key = fill(services)
        index(services)
        ask(services, key, judged=True)
        services.save_pipeline("Missing", MISSING)
        services.engine.workspace.save_pipeline("Lost", LOST)  # saved while its component was installed
        state = ASKED.with_(pipeline="Lost", columns=("Missing", "Lost", "BM25"), document="p1")
        yield World(services, state=state.with_options(pipe=["Missing", "Lost"], first="Lost", of="Missing"))


STATES: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        first_start, empty, empty_read_only, unknown_in_empty, unknown, without_documents, without_documents_read_only,
        without_indexes, without_questions, without_judgments, judged_without_indexes, adding_first, adding_more, paused,
        after_failure, filled, read_only, reader, unknown_ids, broken_pipelines,
    )
}  # fmt: skip
