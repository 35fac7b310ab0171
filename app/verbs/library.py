"""Collections, adding documents, indexes and jobs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from app.results.search import (
    DELETED,
    CollectionView,
    ColumnGuess,
    IndexView,
    JobView,
    Preview,
    RejectionView,
    WorkspaceView,
)
from app.verbs.base import writes
from app.verbs.pipelines import PipelineVerbs
from engine.errors import BadInput, NotFound, TriptychError
from engine.indexes.base import parse_spec
from engine.jobs.base import kind_of, label_of
from engine.models.catalogue import bundled_models
from engine.workspace.documents import Duplicates

if TYPE_CHECKING:
    from engine.indexes.base import IndexSpec
    from engine.serving.doctor import Finding
    from engine.workspace.generations import Generation
    from engine.workspace.jobs import Job
    from engine.workspace.workspace import Collection

DUPLICATE_POLICIES = get_args(Duplicates)
SIZE_SECONDS = 10.0
_UNREADABLE = "What was asked of it cannot be read, so it cannot be searched. Drop it, and build what is missing."


class LibraryVerbs(PipelineVerbs):
    """What fills and keeps a workspace."""

    _sized: tuple[float, int] = (-math.inf, 0)

    def workspace(self) -> WorkspaceView:
        """The workspace with all its collections and sizes."""
        return WorkspaceView(
            folder=str(self.engine.workspace.folder),
            bytes=self._folder_bytes(),
            free_bytes=self.engine.workspace.disk_free(),
            read_only=self.read_only,
            collections=self.collections(),
            notices=tuple(self.engine.workspace.notices),
        )

    def _folder_bytes(self) -> int:
        """Bytes below the workspace's folder; counted at most once in SIZE_SECONDS, because every page shows it."""
        now = time.monotonic()
        if now - self._sized[0] > SIZE_SECONDS:
            self._sized = (now, _size(self.engine.workspace.folder))
        return self._sized[1]

    def collections(self) -> tuple[CollectionView, ...]:
        """All collections by name."""
        return tuple(self._collection_view(stored) for stored in self.engine.workspace.collections())

    def collection(self, name: str) -> CollectionView:
        """One collection with its indexes. Raises NotFound that lists the known names."""
        return self._collection_view(self._collection(name))

    @writes
    def create_collection(self, name: str, description: str = "") -> CollectionView:
        """A new, empty collection. Raises BadInput for a name that is taken, empty, longer than 200 characters or not printable,
        and for a description of more than 1,000 characters."""
        return self._collection_view(self.engine.workspace.create_collection(name, description))

    @writes
    def rename_collection(self, name: str, new: str) -> CollectionView:
        """Give a collection another name; nothing else changes."""
        self.engine.workspace.rename_collection(name, new)
        return self.collection(new)

    @writes
    def describe_collection(self, name: str, description: str) -> CollectionView:
        """Replace what is said of a collection; empty says nothing. Raises BadInput above 1,000 characters."""
        return self._collection_view(self.engine.workspace.describe_collection(name, description))

    @writes
    def delete_collection(self, name: str) -> None:
        """Delete a collection with its documents, indexes and shortlist."""
        stored = self._collection(name)
        for job in self.engine.jobs.unfinished(stored.collection_id):
            with suppress(BadInput):  # it may have ended by itself meanwhile
                self.engine.jobs.cancel(job.job_id)
            self.engine.jobs.wait(job.job_id, 30)
        self.engine.workspace.delete_collection(name)

    def preview(self, paths: Sequence[str], columns: Mapping[str, str] | None = None) -> tuple[Preview, ...]:
        """The first records of each source with the guessed columns, read in a sandboxed child; nothing is stored."""
        from engine.readers.base import ReaderOptions
        from engine.readers.sandbox import preview_in_child
        from engine.types import Record, Rejected

        previews = []
        for shown in preview_in_child(_existing(paths), ReaderOptions(columns=dict(columns or {}))):
            records = [item for item in shown.items if isinstance(item, Record)]
            rejected = [item for item in shown.items if isinstance(item, Rejected)]
            previews.append(
                Preview(
                    format=shown.title or shown.format,
                    source=shown.source,
                    guesses=tuple(ColumnGuess(guess.field, guess.column) for guess in shown.guesses),
                    available=tuple(shown.available),
                    records=tuple(
                        {
                            "doc_id": r.doc_id,
                            "title": r.title,
                            "text": r.text[:400],
                            "authors": list(r.authors),
                            "year": r.year,
                            "venue": r.venue,
                            "url": r.url,
                        }
                        for r in records
                    ),
                    rejected=tuple(RejectionView(r.place, r.reason, r.excerpt) for r in rejected),
                )
            )
        return tuple(previews)

    @writes
    def add(
        self,
        paths: Sequence[str],
        collection: str,
        *,
        columns: Mapping[str, str] | None = None,
        duplicates: str = "replace",
        index: bool = True,
    ) -> str:
        """Queue the reading of files, folders or zips into a collection (made if absent), then the update of its indexes. Gives the job's id."""
        if duplicates not in DUPLICATE_POLICIES:
            raise BadInput(
                f"The policy for duplicate ids is one of {', '.join(DUPLICATE_POLICIES)}; got {duplicates!r}."
            )
        found = _existing(paths)
        try:
            stored = self._collection(collection)
        except NotFound:
            stored = self.engine.workspace.create_collection(collection)
        params = {
            "paths": [str(path) for path in found],
            "options": {"columns": dict(columns or {})},
            "duplicates": duplicates,
            "then_index": [_spec_data(spec) for spec in self._kept_indexes(stored.collection_id)] if index else [],
        }
        return str(self.engine.jobs.submit("add", stored.collection_id, params))

    @writes
    def index(self, collection: str, specs: Sequence[IndexSpec | Mapping[str, Any] | str] | None = None) -> str:
        """Queue the building or updating of indexes: the given ones, or all that the known pipelines read. Gives the job's id."""
        stored = self._collection(collection)
        chosen = [parse_spec(spec) for spec in specs] if specs else list(self.needed_indexes())
        return str(self.engine.jobs.submit("index", stored.collection_id, {"specs": [_spec_data(s) for s in chosen]}))

    def needed_indexes(self, pipelines: Sequence[str] | None = None) -> tuple[IndexSpec, ...]:
        """The distinct indexes that these pipelines read; by default all known ones whose models are here."""
        if pipelines is not None:
            return tuple(dict.fromkeys(spec for name in pipelines for spec in self._spec(name).index_specs()))
        here = {*bundled_models(), *self.engine.workspace.models.cards()}
        read = dict.fromkeys(spec for pipeline in self._specs().values() for spec in pipeline.index_specs())
        return tuple(spec for spec in read if getattr(spec, "model", None) in (None, *here))

    def _kept_indexes(self, collection_id: str) -> tuple[IndexSpec, ...]:
        """The indexes that follow every change of a collection: the needed ones, but those of an added model only once they were built."""
        brought = self._offered()
        own = {
            spec for name, pipeline in self._specs().items() if name not in brought for spec in pipeline.index_specs()
        }
        return tuple(
            spec
            for spec in self.needed_indexes()
            if spec in own or self.engine.generation(collection_id, spec) is not None
        )

    @writes
    def drop_index(self, collection: str, generation_id: str) -> None:
        """Delete one index of a collection; the documents stay, and it can be built again."""
        stored = self._collection(collection)
        if generation_id not in {g.generation_id for g in self.engine.workspace.generations.live(stored.collection_id)}:
            raise NotFound(f"{collection!r} has no index {generation_id!r}.")
        self.engine.workspace.generations.drop(generation_id)

    def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        """The latest jobs, newest first."""
        return tuple(_job_view(job) for job in self.engine.jobs.list(limit))

    def job(self, job_id: str) -> JobView:
        """One job as it stands. Raises NotFound."""
        return _job_view(self.engine.jobs.get(job_id))

    @writes
    def pause(self, job_id: str) -> None:
        """Hold a job at its next step; what it committed stays."""
        self.engine.jobs.pause(job_id)

    @writes
    def resume(self, job_id: str) -> None:
        """Let a paused, interrupted or failed job go on where it stopped."""
        self.engine.jobs.resume(job_id)

    @writes
    def cancel(self, job_id: str) -> None:
        """Stop a job at its next step; what it committed stays."""
        self.engine.jobs.cancel(job_id)

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Block until a job ends, or the timeout in seconds passes."""
        self.engine.jobs.wait(job_id, timeout)
        return self.job(job_id)

    def rejections(self, job_id: str, offset: int = 0, limit: int = 100) -> tuple[RejectionView, ...]:
        """The rows that a job skipped, with their places and reasons."""
        rows = self.engine.workspace.jobs.rejections(job_id, offset=max(0, offset), limit=min(max(1, limit), 1000))
        return tuple(RejectionView(*row) for row in rows.select("place", "reason", "excerpt").iter_rows())

    def doctor(self) -> list[Finding]:
        """Check the workspace and this installation."""
        from engine.serving.doctor import check

        return check(self.folder, self.engine.workspace)

    def _collection_view(self, stored: Collection) -> CollectionView:
        unfinished = self.engine.jobs.unfinished(stored.collection_id)
        at_work = [(kind_of(job.kind), job.phase) for job in unfinished if job.status in ("queued", "running")]
        busy = [(kind, phase) for kind, phase in at_work if kind.ends_in_indexes]
        building = any(phase not in kind.before_indexes for kind, phase in busy)
        indexes = self._indexes(stored, building=building)
        ready = [view for view in indexes if view.state in ("ready", "behind")]
        state = (
            "indexing" if busy
            else "paused" if not stored.documents and any(job.kind == "add" for job in unfinished)
            else "empty" if not stored.documents
            else "unindexed" if not ready
            else "behind" if any(view.state in ("behind", "damaged") for view in indexes)
            else "ready"
        )  # fmt: skip
        judged = int(self.engine.workspace.documents.query_sets(stored.collection_id)["judged_queries"].sum())
        return CollectionView(
            name=stored.name,
            description=stored.description,
            documents=stored.documents,
            passages=stored.passages,
            created_at=str(stored.created_at),
            bytes=sum(view.bytes for view in indexes),
            indexes=indexes,
            judged_queries=judged,
            state=state,  # type: ignore[arg-type]
        )

    def _indexes(self, stored: Collection, *, building: bool) -> tuple[IndexView, ...]:
        """Published indexes, and those that a known pipeline reads but nobody built."""
        views = []
        searcher = self.engine.searcher(stored.collection_id)
        needed = dict.fromkeys(self.needed_indexes())
        for generation in self.engine.workspace.generations.live(stored.collection_id):
            try:
                spec = parse_spec({generation.kind: generation.params})
            except (TriptychError, ValueError):
                views.append(_damaged_view(generation, generation.kind, _UNREADABLE))
                continue
            needed.pop(spec, None)
            try:
                behind = searcher.behind(spec)
            except (TriptychError, OSError) as error:
                views.append(_damaged_view(generation, spec.label(), str(error)))
                continue
            live = len(searcher.snapshot) if spec.unit == "document" else len(searcher.snapshot.passage_nos)
            views.append(
                IndexView(
                    generation_id=generation.generation_id,
                    kind=generation.kind,
                    label=spec.label(),
                    rows=generation.rows,
                    bytes=generation.bytes,
                    built_at=str(generation.created_at),
                    state="behind" if behind else "ready",
                    behind=behind,
                    recall=_recall(generation.details),
                    note=_note(generation.details, live, generation.rows),
                )
            )
        if stored.documents:
            state: Literal["building", "absent"] = "building" if building else "absent"
            views.extend(
                IndexView(
                    "", spec.kind, spec.label(), 0, 0, "", state, stored.documents, None, spec.effort(stored.documents)
                )
                for spec in needed
            )
        return tuple(views)


def jobs_elsewhere(folder: Path) -> tuple[JobView, ...]:
    """The unfinished jobs of the process that has the workspace open, newest first. Raises WorkspaceInUse where it tells of none."""
    from engine.system import locking
    from engine.workspace import mailbox as control
    from engine.workspace.jobs import job_told

    told = control.unfinished(folder)
    if told is None:
        raise locking.in_use(folder, " It has no unfinished job that other shells can see.")
    views = []
    for job in reversed(told):
        with suppress(KeyError, TypeError, ValueError):  # of another version of the program
            views.append(_job_view(job_told(job)))
    return tuple(views)


def cancel_elsewhere(folder: Path, job: JobView, seconds: float = 10.0) -> JobView:
    """Ask the process that has the workspace open to cancel one of its jobs, and wait until it is over. Raises BadInput, TriptychError."""
    from engine.workspace import mailbox as control

    control.ask(folder, "cancel", job.job_id)
    until = time.monotonic() + seconds
    while any(other["job_id"] == job.job_id for other in control.unfinished(folder) or ()):
        if time.monotonic() > until:
            raise TriptychError(f"The job {job.job_id} was asked to stop, and has not stopped within {seconds:.0f} s.")
        time.sleep(0.05)
    return replace(job, status="cancelled", wish="")


def _damaged_view(generation: Generation, label: str, note: str) -> IndexView:
    """An index that cannot be opened or described; everything else goes on."""
    built_at = str(generation.created_at)
    return IndexView(
        generation.generation_id, generation.kind, label, generation.rows, generation.bytes, built_at, "damaged", 0, None, note
    )  # fmt: skip


def _recall(details: Mapping[str, Any]) -> float | None:
    """recall@10 against exact search, the worse of the measured ones; 1 where search is exact, None for lexical indexes."""
    if details.get("structure") == "exact":
        return 1.0
    measured = [float(value) for name, value in details.items() if name.startswith("recall")]
    return min(measured) if measured else None


def _note(details: Mapping[str, Any], live: int, rows: int) -> str:
    parts = [str(details["structure"])] if "structure" in details else []
    parts += [f"about {details['median_terms']:,.0f} terms a text"] if details.get("median_terms") else []
    parts += [str(details["note"])] if details.get("note") else []
    dead = max(0, rows - live)
    if dead:
        parts.append(f"{dead:,} deleted rows, dropped at the next update")
    return "; ".join(parts)


def _existing(paths: Sequence[str]) -> list[Path]:
    if not paths:
        raise BadInput("No file or folder was given.")
    found = []
    for given in paths:
        shown = str(given).encode("utf-8", "replace").decode()
        try:
            path = Path(str(given)).expanduser().resolve()
            if not path.exists():
                raise BadInput(f"{shown} does not exist. Check the spelling; relative paths start at {Path.cwd()}.")
        except (OSError, RuntimeError, ValueError) as error:  # too long, no such user's home, a NUL, a loop of links
            raise BadInput(f"{shown[:200]} cannot be reached: {error}. Check the spelling.") from error
        found.append(path)
    return found


def _spec_data(spec: IndexSpec) -> dict[str, Any]:
    return {spec.name: spec.model_dump(mode="json")}


def _size(folder: Path) -> int:
    """Bytes of all files below; one that vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _job_view(job: Job) -> JobView:
    kind = kind_of(job.kind)
    return JobView(
        job_id=job.job_id,
        kind=job.kind,
        collection=job.collection or (DELETED if job.collection_id else ""),
        label=label_of(job.kind, job.params),
        status=job.status,
        phase=job.phase,
        done=job.done,
        total=job.total,
        unit=job.unit,
        rate=job.rate,
        eta_seconds=job.eta_s,
        counts={name: count for name, count in job.counts.items() if isinstance(count, int)},
        error=job.error,
        started_at=str(job.started_at or ""),
        finished_at=str(job.finished_at or ""),
        wish=job.wish,
        hosts=str(job.counts.get("hosts", "")),
        result=str(job.counts.get(kind.makes) or ""),
    )
