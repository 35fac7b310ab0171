"""Building an index of a collection as it stands, reusing what the previous generation already knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.component import parse
from engine.errors import BadInput, Cancelled, IndexNotReady, StorageFull, TriptychError, WorkspaceDamaged
from engine.indexes.base import IndexSpec, OpenIndex
from engine.indexes.files import positions
from engine.system.belongings import MANIFEST
from engine.types import Ints, Progress, ProgressSink, Snapshot, ignore_progress
from engine.workspace.documents import Unit
from engine.workspace.generations import Build, Generation

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.jobs.queue import Running
    from engine.workspace.documents import DocumentStore
    from engine.workspace.workspace import Workspace


class StoredUnits:
    """The live units of a snapshot, as an index build asks for them. `models`: the folder of the workspace's own models."""

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
        """Title and text of each unit; "" for one that was deleted after the snapshot, whose row no search will return."""
        return self._documents.unit_texts(self._snapshot.collection_id, self._unit, numbers, absent="")

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder of a bundled or cached model. Raises NotFound."""
        from engine.encoders.opening import load_encoder

        return load_encoder(model, own=self._models)

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder of a bundled or cached model. Raises BadInput."""
        from engine.encoders.opening import load_scorer

        return load_scorer(model, own=self._models)


def parse_spec(raw: str | Mapping[str, Any] | IndexSpec) -> IndexSpec:
    """An index specification from "bm25" or {"dense": {"model": …}}. Raises BadInput."""
    return cast(IndexSpec, parse("indexes", raw))


def dropped(folder: Path) -> None:
    """Tell the index whose generation is in `folder` that it is about to be deleted. Raises what the index raises (see IndexSpec.dropped)."""
    try:
        about = json.loads((folder / MANIFEST).read_text("utf-8"))
        spec = parse_spec({about["kind"]: about["params"]})
    except (OSError, ValueError, KeyError, TypeError, BadInput):
        return  # without a manifest, or of a component that is no longer installed
    spec.dropped(folder)


def build_index(
    workspace: Workspace,
    collection_id: str,
    spec: IndexSpec,
    progress: ProgressSink = ignore_progress,
    *,
    job_id: str = "",
) -> Generation:
    """Build and publish the index of a collection's live rows; returns the one that stands when nothing has changed since.

    The old generation serves until the new one is published. An interrupted build of the same job is taken up again.
    Raises StorageFull, NotFound, MissingDependency, and what `progress` raises.
    """
    generations = workspace.generations
    params = spec.model_dump(mode="json")
    snapshot = workspace.documents.snapshot(collection_id)
    source = _source(workspace, snapshot, spec)
    previous = generations.find(collection_id, spec.kind, params)
    opened = None if previous is None else _open_previous(workspace, spec, previous)
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
        _settle(workspace, build, error, job_id)
        raise


def _is_current(previous: Generation, spec: IndexSpec, source: StoredUnits, snapshot: Snapshot) -> bool:
    """Whether building again would give the same."""
    same_documents = previous.revision == snapshot.revision
    model: Any = source.scorer if spec.scored else source.encoder
    return same_documents and previous.fingerprint == spec.expected_fingerprint(model)


def _open_previous(workspace: Workspace, spec: IndexSpec, previous: Generation) -> OpenIndex | None:
    """The generation to take rows from; None when it is damaged or of another make, so that everything is built anew."""
    try:
        return spec.open(workspace.generations.open_folder(previous))
    except (WorkspaceDamaged, IndexNotReady):
        return None


def _settle(workspace: Workspace, build: Build, error: BaseException, job_id: str) -> None:
    """After a failure: an interrupted job finds its encoded shards again, anything else leaves no files (and a full disk gets space back)."""
    from engine.jobs.queue import Halted

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


def run_index(workspace: Workspace, running: Running) -> None:
    """The work of a job of kind "index"; params {"specs": [...]}."""
    index_all(workspace, running, running.job.params.get("specs", []))


def index_all(workspace: Workspace, running: Running, specs: Sequence[Any]) -> None:
    """Build several indexes one after the other; the job's counts say what each holds.

    Documents of indexes whose models read the same body are encoded for all of them in one pass.
    """
    built: list[dict[str, Any]] = []
    failed: list[tuple[IndexSpec, TriptychError]] = []
    parsed = list(dict.fromkeys(parse_spec(raw) for raw in specs))
    begun = _encode_together(workspace, running, parsed)
    try:
        for spec in parsed:
            running.check()
            try:
                generation = build_index(workspace, running.job.collection_id, spec, running, job_id=running.job.job_id)
            except (Cancelled, StorageFull):
                raise
            except TriptychError as error:  # a damaged model, say, must not keep the other indexes from being built
                failed.append((spec, error))
                continue
            about = {"index": spec.name, "generation_id": generation.generation_id, "rows": generation.rows}
            built.append(about | {"bytes": generation.bytes, **generation.details})
            running.counts["indexes"] = list(built)
        for build in begun:
            if build.folder.exists():  # an index that turned out to stand already
                build.abandon()
    except BaseException as error:
        for build in begun:
            _settle(workspace, build, error, running.job.job_id)
        raise
    if failed and len(parsed) == 1:
        raise failed[0][1]
    if failed:
        why = " ".join(f"{spec.label()}: {error}" for spec, error in failed)
        raise TriptychError(f"{len(failed)} of {len(parsed)} indexes could not be built. {why}")


def _encode_together(workspace: Workspace, running: Running, specs: Sequence[IndexSpec]) -> list[Build]:
    """Encode new units for the indexes that can share a pass, into shards that their builds will take up; gives those builds."""
    from engine.encoders.runner import StateReader
    from engine.indexes.shards import PARTIAL, Shards, encode_shared

    job_id = running.job.job_id
    models = [(spec, model) for spec in specs if (model := getattr(spec, "model", None)) and not spec.scored]
    if len(models) < 2:
        return []
    snapshot = workspace.documents.snapshot(running.job.collection_id)
    groups: dict[tuple[str, str], list[tuple[IndexSpec, Any, Ints]]] = {}
    for spec, model in models:
        source = _source(workspace, snapshot, spec)
        try:
            encoder: Any = source.encoder(model)
        except TriptychError:
            continue  # whose own build says so
        if isinstance(encoder, StateReader):
            new = _new_units(workspace, spec, source, snapshot, encoder.fingerprint)
            if len(new):
                groups.setdefault((spec.unit, encoder.runner.pass_key), []).append((spec, encoder, new))
    begun: list[Build] = []
    try:
        for group in (group for group in groups.values() if len(group) > 1):
            shards = []
            for spec, encoder, _ in group:
                params = spec.model_dump(mode="json")
                begun.append(workspace.generations.begin(snapshot.collection_id, spec.kind, params, job_id))
                shards.append(Shards(begun[-1].folder / PARTIAL, encoder))
            source = _source(workspace, snapshot, group[0][0])
            wanted = [new for _, _, new in group]
            with workspace.database.translated("the indexes"):
                encode_shared(shards, wanted, source, running)
    except BaseException as error:
        for build in begun:
            _settle(workspace, build, error, job_id)
        raise
    for build in begun:
        workspace.generations.release(build)
    return begun


def _source(workspace: Workspace, snapshot: Snapshot, spec: IndexSpec) -> StoredUnits:
    return StoredUnits(workspace.documents, snapshot, spec.unit, workspace.models.folder)


def _new_units(
    workspace: Workspace, spec: IndexSpec, source: StoredUnits, snapshot: Snapshot, fingerprint: str
) -> Ints:
    """The units whose rows the index that stands cannot give."""
    previous = workspace.generations.find(snapshot.collection_id, spec.kind, spec.model_dump(mode="json"))
    if previous is None or previous.fingerprint != fingerprint:
        return source.numbers
    if previous.revision == snapshot.revision:
        return source.numbers[:0]
    opened = _open_previous(workspace, spec, previous)
    return source.numbers if opened is None else source.numbers[positions(opened.numbers, source.numbers) < 0]
