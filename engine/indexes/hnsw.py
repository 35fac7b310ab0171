"""The only door to hnswlib (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search", 2018).

hnswlib trusts its input: a damaged file can end the process, a query of another width corrupts memory, a full disk goes unnoticed when it
saves. So every file is checked before it is loaded and after it is saved, and every array before it is passed on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import MissingDependency, StorageFull
from engine.indexes.files import damaged
from engine.types import FloatRows, Ints, Progress, ProgressSink

GRAPH = "graph.bin"
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
    """Build a graph over all rows and save it. Raises MissingDependency, StorageFull, and what `progress` raises."""
    index = require().Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=m, ef_construction=ef_construction)
    for chunk in _chunks(np.arange(len(vectors)), progress):
        index.add_items(vectors[chunk], labels[chunk])
    return _save(index, folder, deleted=0)


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
    index = _load(previous, info, vectors.shape[1], elements)
    if info.deleted and np.isin(labels[fresh], np.array(index.get_ids_list(), np.int64)).any():
        return None
    for label in gone.tolist():
        index.mark_deleted(label)
    for chunk in _chunks(fresh, progress):
        index.add_items(vectors[chunk], labels[chunk])
    return _save(index, folder, deleted)


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
