"""The only door to hnswlib (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search", 2018).

hnswlib trusts its input: a damaged file can end the process, a query of another width corrupts memory, a full disk goes unnoticed when it
saves. So every file is checked before it is loaded and after it is saved, and every array before it is passed on. Graphs are built in a child
process (engine.system.child), and a file that was not made for this process is opened by a child first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import MissingDependency, StorageFull, TriptychError, WorkspaceDamaged
from engine.indexes.stored.files import damaged, save_array
from engine.system import child
from engine.types import FloatRows, Ints, Progress, ProgressSink

GRAPH = "graph.bin"
_VECTORS, _LABELS, _GONE, _FRESH = "graph-vectors.npy", "graph-labels.npy", "graph-gone.npy", "graph-fresh.npy"
PROBES, PROBED = 20, 50  # searches, and hits of each, that a file must stand before it is opened here
SECONDS_PER_ROW = 0.02
HEADER_BYTES = 96  # sizes and offsets that the loader believes
CHUNK = 2_000  # rows added between two reports of progress
REBUILD_SHARE = 0.3  # of dead elements; they cost memory and hops


class GraphInfo(BaseModel):
    """What a graph file must be, recorded when it was saved. `elements` counts the deleted ones too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: int = Field(ge=1)
    deleted: int = Field(ge=0)
    bytes: int = Field(ge=HEADER_BYTES)
    crc32: int


_PROVEN: set[tuple[str, int, int]] = set()
"""Files that a child opened or made for this process: number, size and time of change."""


class Graph:
    """A graph over labeled rows, open for search from any thread."""

    def __init__(self, index: Any, info: GraphInfo, dim: int) -> None:
        self._index = index
        self._dim = dim
        self.info = info

    @property
    def live(self) -> int:
        """Elements that a search can return."""
        return self.info.elements - self.info.deleted

    @classmethod
    def open(cls, folder: Path, info: GraphInfo, dim: int) -> Graph:
        """Load a saved graph after checking its size and checksum. Raises WorkspaceDamaged, MissingDependency."""
        _verify(folder, info)
        _prove(folder, info, dim)
        return cls(_load(folder, info, dim), info, dim)

    def search(self, queries: FloatRows, k: int) -> Ints | None:
        """Labels of about the k nearest elements of each query, int64 [queries, min(k, live)]; None when the graph reached fewer.

        hnswlib examines max(ef, k) candidates, so k is also the effort; its shared `ef` setting is never touched.
        """
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self._dim or k < 1:
            raise ValueError(
                f"queries are {queries.dtype} {queries.shape}, k is {k}; the graph has dimension {self._dim}"
            )
        try:
            labels, _ = self._index.knn_query(np.ascontiguousarray(queries), k=min(k, self.live))
        except RuntimeError:
            return None
        return np.asarray(labels).astype(np.int64)


def installed() -> bool:
    """Whether hnswlib can be imported."""
    return find_spec("hnswlib") is not None


def require() -> Any:
    """The hnswlib module. Raises MissingDependency with the install command."""
    try:
        import hnswlib
    except ImportError as error:
        message = 'The structure "hnsw" needs hnswlib: pip install hnswlib. Or choose the structure "exact".'
        raise MissingDependency(message) from error
    return hnswlib


def build(
    vectors: FloatRows, labels: Ints, folder: Path, m: int, ef_construction: int, progress: ProgressSink
) -> GraphInfo:
    """Build a graph over all rows and save it, in a child. Raises MissingDependency, StorageFull, and what `progress` raises."""
    require()
    with _handed_over(vectors, labels, folder) as request:
        told = _in_child(
            "hnsw build", folder, vectors, request | {"m": m, "ef_construction": ef_construction}, progress
        )
    return _made(folder, told)


def build_task(arguments: dict[str, Any], progress: ProgressSink) -> dict[str, Any]:
    """What the child does of `build`."""
    folder, vectors, labels = _received(arguments)
    index = require().Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=arguments["m"], ef_construction=arguments["ef_construction"])
    for chunk in _chunks(np.arange(len(vectors)), progress):
        index.add_items(vectors[chunk], labels[chunk])
    return _save(index, folder, deleted=0).model_dump()


def extend(
    vectors: FloatRows, labels: Ints, folder: Path, previous: Path, info: GraphInfo, was: Ints, progress: ProgressSink
) -> GraphInfo | None:
    """Save the graph in `previous`, whose live labels were `was`, with new labels added and vanished ones marked deleted.

    None when too much of it would be dead, or a deleted label came back: then a new graph is the better one.
    """
    gone = np.setdiff1d(was, labels, assume_unique=True)
    fresh = np.flatnonzero(~np.isin(labels, was, assume_unique=True))
    elements, deleted = info.elements + len(fresh), info.deleted + len(gone)
    if deleted > REBUILD_SHARE * elements:
        return None
    _verify(previous, info)
    more = {"previous": str(previous), "info": info.model_dump(), "elements": elements, "deleted": deleted}
    with _handed_over(vectors, labels, folder) as request:
        np.save(folder / _GONE, gone)
        np.save(folder / _FRESH, fresh)
        told = _in_child("hnsw extend", folder, vectors, request | more, progress)
    return None if told is None else _made(folder, told)


def extend_task(arguments: dict[str, Any], progress: ProgressSink) -> dict[str, Any] | None:
    """What the child does of `extend`."""
    folder, vectors, labels = _received(arguments)
    info, previous = GraphInfo(**arguments["info"]), Path(arguments["previous"])
    gone, fresh = (np.load(folder / name, allow_pickle=False) for name in (_GONE, _FRESH))
    index = _load(previous, info, vectors.shape[1], arguments["elements"])
    if info.deleted and np.isin(labels[fresh], np.array(index.get_ids_list(), np.int64)).any():
        return None
    for label in gone.tolist():
        index.mark_deleted(label)
    for chunk in _chunks(fresh, progress):
        index.add_items(vectors[chunk], labels[chunk])
    return _save(index, folder, arguments["deleted"]).model_dump()


def open_task(arguments: dict[str, Any], progress: ProgressSink) -> None:
    """What the child does of `_prove`: load the file, and search it from some of its own rows."""
    info, dim = GraphInfo(**arguments["info"]), int(arguments["dim"])
    index = _load(Path(arguments["folder"]), info, dim)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((PROBES, dim), dtype=np.float32)
    with suppress(RuntimeError):  # the graph reached fewer, which searches allow for
        index.knn_query(queries, k=min(PROBED, info.elements - info.deleted))


def _prove(folder: Path, info: GraphInfo, dim: int) -> None:
    """Let a child open the file first, unless one made it for this process. Raises WorkspaceDamaged where that kills it or takes too long."""
    key = _identity(folder)
    if key in _PROVEN:
        return
    request = {"task": "hnsw open", "folder": str(folder), "info": info.model_dump(), "dim": dim}
    most = child.Limits(60 + info.bytes / 2e7, 1e9 + 3 * info.bytes)
    try:
        child.run(f"Opening {GRAPH}", request, most)
    except WorkspaceDamaged:
        raise
    except MissingDependency:
        raise
    except TriptychError as error:
        raise damaged(folder, str(error).rstrip(".")) from error
    _PROVEN.add(key)


def _in_child(task: str, folder: Path, vectors: FloatRows, request: dict[str, Any], progress: ProgressSink) -> Any:
    most = child.Limits(
        3600 + len(vectors) * SECONDS_PER_ROW, 2e9 + 5 * vectors.nbytes, 'Choose the structure "exact".'
    )
    return child.run(f"Building the search graph in {folder.name}", {"task": task, **request}, most, progress)


@contextmanager
def _handed_over(vectors: FloatRows, labels: Ints, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows in files that the child maps; gone afterwards."""
    names = (_VECTORS, _LABELS, _GONE, _FRESH)
    try:
        save_array(folder, _VECTORS, vectors)
        save_array(folder, _LABELS, labels)
        yield {"folder": str(folder)}
    finally:
        for name in names:
            (folder / name).unlink(missing_ok=True)


def _received(arguments: dict[str, Any]) -> tuple[Path, FloatRows, Ints]:
    folder = Path(arguments["folder"])
    vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
    return folder, vectors, np.load(folder / _LABELS, allow_pickle=False)


def _made(folder: Path, told: dict[str, Any]) -> GraphInfo:
    _PROVEN.add(_identity(folder))
    return GraphInfo.model_validate(told)


def _identity(folder: Path) -> tuple[str, int, int]:
    """The same for as long as nobody writes the file, also when its folder is renamed."""
    stat = (folder / GRAPH).stat()
    return str(stat.st_ino), stat.st_size, stat.st_mtime_ns


def _chunks(rows: Ints, progress: ProgressSink) -> Iterator[Ints]:
    for start in range(0, len(rows), CHUNK):
        progress(Progress("link", start, len(rows), "vectors"))
        yield rows[start : start + CHUNK]
    progress(Progress("link", len(rows), len(rows), "vectors"))


def _save(index: Any, folder: Path, deleted: int) -> GraphInfo:
    path = folder / GRAPH
    message = "The search graph was not written completely. Free some space and build the index again."
    try:
        index.save_index(str(path))
    except RuntimeError as error:
        raise StorageFull(message) from error
    if path.stat().st_size != index.index_file_size():
        raise StorageFull(message)
    return GraphInfo(elements=index.element_count, deleted=deleted, bytes=path.stat().st_size, crc32=_checksum(path))


def _verify(folder: Path, info: GraphInfo) -> None:
    """Whether the file is the one that was saved. hnswlib itself notices little, and too late."""
    path = folder / GRAPH
    try:
        size = path.stat().st_size
        if size != info.bytes:
            raise damaged(folder, f"{GRAPH} has {size} bytes instead of {info.bytes}")
        if _checksum(path) != info.crc32:
            raise damaged(folder, f"the content of {GRAPH} has changed")
    except OSError as error:
        raise damaged(folder, f"{GRAPH} cannot be read ({error})") from error


def _load(folder: Path, info: GraphInfo, dim: int, capacity: int = 0) -> Any:
    index = require().Index(space="ip", dim=dim)
    try:
        index.load_index(str(folder / GRAPH), max_elements=capacity)
    except RuntimeError as error:
        raise damaged(folder, f"{GRAPH} cannot be loaded ({error})") from error
    if index.element_count != info.elements:
        raise damaged(folder, f"{GRAPH} holds {index.element_count} elements instead of {info.elements}")
    return index


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value
