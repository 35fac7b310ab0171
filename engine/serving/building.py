"""Building an index of a collection as it stands, reusing what the previous generation already knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import IndexNotReady, StorageFull, WorkspaceDamaged
from engine.indexes.base import IndexSpec, OpenIndex
from engine.serving.running import Halted
from engine.types import Ints, Progress, ProgressSink, Snapshot, ignore_progress
from engine.workspace.documents import Unit
from engine.workspace.generations import Build, Generation

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.workspace.documents import DocumentStore
    from engine.workspace.workspace import Workspace


class StoredUnits:
    """The live units of a snapshot, as an index build asks for them. `models`: the folder of the workspace's own
    models."""

    def __init__(self, documents: DocumentStore, snapshot: Snapshot, unit: Unit, models: Path | None = None) -> None:
        self._documents = documents
        self._snapshot = snapshot
        self._unit = unit
        self._models = models

    @property
    def numbers(self) -> Ints:
        """Ascending numbers of the live documents or passages, int64."""
        return self._snapshot.doc_nos if self._unit == "document" else self._snapshot.passage_nos

    def texts(self, numbers: Ints) -> list[str]:
        """Title and text of each unit; "" for one that was deleted after the snapshot, whose row no search will
        return."""
        return self._documents.unit_texts(self._snapshot.collection_id, self._unit, numbers, absent="")

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder of a bundled or cached model. Raises NotFound."""
        from engine.encoders.opening import load_encoder

        return load_encoder(model, own=self._models)

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder of a bundled or cached model. Raises BadInput."""
        from engine.encoders.opening import load_scorer

        return load_scorer(model, own=self._models)


def build_index(
    workspace: Workspace,
    collection_id: str,
    spec: IndexSpec,
    progress: ProgressSink = ignore_progress,
    *,
    job_id: str = "",
) -> Generation:
    """Build and publish the index of a collection's live rows; returns the one that stands when nothing has changed
    since.

    The old generation serves until the new one is published. An interrupted build of the same job is taken up again.
    Raises StorageFull, NotFound, MissingDependency, and what `progress` raises.
    """
    generations = workspace.generations
    params = spec.model_dump(mode="json")
    snapshot = workspace.documents.snapshot(collection_id)
    source = source_of(workspace, snapshot, spec)
    previous = generations.find(collection_id, spec.kind, params)
    opened = None if previous is None else open_previous(workspace, spec, previous)
    if opened is None and previous is not None:
        generations.drop(previous.generation_id)
        previous = None
    if previous is not None and _is_current(previous, spec, source, snapshot):
        return previous
    build = generations.begin(collection_id, spec.kind, params, job_id)
    try:
        with workspace.database.translated(f"the {spec.kind} index"):
            info = spec.build(source, opened, build.folder, progress)
        progress(Progress("publish", 0, 1, "indexes"))
        return build.publish(
            params, info.fingerprint, snapshot.revision, info.rows, info.dim or 0, details=info.details
        )
    except BaseException as error:
        settle(workspace, build, error, job_id)
        raise


def _is_current(previous: Generation, spec: IndexSpec, source: StoredUnits, snapshot: Snapshot) -> bool:
    """Whether building again would give the same."""
    same_documents = previous.revision == snapshot.revision
    model: Any = source.scorer if spec.scored else source.encoder
    return same_documents and previous.fingerprint == spec.expected_fingerprint(model)


def open_previous(workspace: Workspace, spec: IndexSpec, previous: Generation) -> OpenIndex | None:
    """The generation to take rows from; None when it is damaged or of another make, so that everything is built
    anew."""
    try:
        return spec.open(workspace.generations.open_folder(previous))
    except (WorkspaceDamaged, IndexNotReady):
        return None


def settle(workspace: Workspace, build: Build, error: BaseException, job_id: str) -> None:
    """After a failure: an interrupted job finds its encoded shards again, anything else leaves no files (and a full
    disk gets space back)."""
    halted = isinstance(error, (Halted, KeyboardInterrupt)) and not (
        isinstance(error, Halted) and error.wish == "cancel"
    )
    if job_id and halted:
        workspace.generations.release(build)
        return
    try:
        build.abandon()
    except StorageFull:
        workspace.generations.release(build)  # the row goes with the next sweep


def source_of(workspace: Workspace, snapshot: Snapshot, spec: IndexSpec) -> StoredUnits:
    """What an index of this specification is built from."""
    return StoredUnits(workspace.documents, snapshot, spec.unit, workspace.models.folder)
