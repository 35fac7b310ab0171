"""Jobs that build or update the indexes of a collection; those whose models read the same body are encoded in one
pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import Cancelled, StorageFull, TriptychError
from engine.indexes.base import IndexSpec, parse_spec
from engine.indexes.stored.files import positions
from engine.jobs.base import JobKind
from engine.serving.building import StoredUnits, build_index, open_previous, settle, source_of
from engine.types import Ints, Snapshot
from engine.workspace.generations import Build

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace


class IndexJob(JobKind, name="index"):
    """Builds or updates indexes of a collection, by their specifications."""

    ends_in_indexes: ClassVar[bool] = True

    specs: tuple[Any, ...] = ()

    def label(self) -> str:
        """The same for all of them."""
        return "Update indexes"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises what `index_all` raises."""
        index_all(engine.workspace, running, self.specs)


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
            settle(workspace, build, error, running.job.job_id)
        raise
    if failed and len(parsed) == 1:
        raise failed[0][1]
    if failed:
        why = " ".join(f"{spec.label()}: {error}" for spec, error in failed)
        raise TriptychError(f"{len(failed)} of {len(parsed)} indexes could not be built. {why}")


def _encode_together(workspace: Workspace, running: Running, specs: Sequence[IndexSpec]) -> list[Build]:
    """Encode new units for the indexes that can share a pass, into shards that their builds will take up; gives those
    builds."""
    from engine.encoders.runner import StateReader
    from engine.indexes.shards import PARTIAL, Shards, encode_shared

    job_id = running.job.job_id
    models = [(spec, model) for spec in specs if (model := getattr(spec, "model", None)) and not spec.scored]
    if len(models) < 2:
        return []
    snapshot = workspace.documents.snapshot(running.job.collection_id)
    groups: dict[tuple[str, str], list[tuple[IndexSpec, Any, Ints]]] = {}
    for spec, model in models:
        source = source_of(workspace, snapshot, spec)
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
            source = source_of(workspace, snapshot, group[0][0])
            wanted = [new for _, _, new in group]
            with workspace.database.translated("the indexes"):
                encode_shared(shards, wanted, source, running)
    except BaseException as error:
        for build in begun:
            settle(workspace, build, error, job_id)
        raise
    for build in begun:
        workspace.generations.release(build)
    return begun


def _new_units(
    workspace: Workspace, spec: IndexSpec, source: StoredUnits, snapshot: Snapshot, fingerprint: str
) -> Ints:
    """The units whose rows the index that stands cannot give."""
    previous = workspace.generations.find(snapshot.collection_id, spec.kind, spec.model_dump(mode="json"))
    if previous is None or previous.fingerprint != fingerprint:
        return source.numbers
    if previous.revision == snapshot.revision:
        return source.numbers[:0]
    opened = open_previous(workspace, spec, previous)
    return source.numbers if opened is None else source.numbers[positions(opened.numbers, source.numbers) < 0]
