"""A search graph that nobody here built: it is opened by a child first, so that what would crash costs an error and no more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadInput, TriptychError, WorkspaceDamaged
from engine.indexes.stored import hnsw
from engine.system import child
from engine.types import ignore_progress

pytestmark = pytest.mark.skipif(not hnsw.installed(), reason="hnswlib is not installed")
ROWS, DIM = 300, 8


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, hnsw.GraphInfo]:
    rows = np.random.default_rng(1).standard_normal((ROWS, DIM), dtype=np.float32)
    folder = tmp_path / "built"
    folder.mkdir()
    info = hnsw.build(rows, np.arange(ROWS, dtype=np.int64), folder, 8, 50, ignore_progress)
    assert [path.name for path in folder.iterdir()] == [hnsw.GRAPH], "what was handed over is gone"
    return folder, info


def forged(folder: Path, info: hnsw.GraphInfo) -> hnsw.GraphInfo:
    """Every link leads far beyond the last element, and size and checksum are right."""
    file = folder / hnsw.GRAPH
    data = bytearray(file.read_bytes())
    size = int.from_bytes(data[24:32], "little")
    links = int.from_bytes(data[64:72], "little")  # of an element at the lowest level
    for element in range(info.elements):
        start = 96 + element * size
        data[start : start + 2] = links.to_bytes(2, "little")
        for place in range(links):
            data[start + 4 + 4 * place : start + 8 + 4 * place] = (0x7FFFFF00 + place).to_bytes(4, "little")
    file.write_bytes(data)
    return info.model_copy(update={"crc32": hnsw._checksum(file)})


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_forged_graph_is_refused_and_this_process_lives(saved: tuple[Path, hnsw.GraphInfo]) -> None:
    folder, info = saved
    told = forged(folder, info)
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom engine.indexes.stored import hnsw\n"
        f"hnsw.open_task({{'folder': {str(folder)!r}, 'info': json.loads({told.model_dump_json()!r}), 'dim': {DIM}}}, print)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGSEGV, (
        "it is deadly"
    )
    with pytest.raises(WorkspaceDamaged, match=r"failed: signal SIGSEGV\. Build it again"):
        hnsw.Graph.open(folder, told, DIM)


def test_what_was_built_here_is_opened_at_once_and_what_was_brought_is_proven_once(
    saved: tuple[Path, hnsw.GraphInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, info = saved
    started: list[Any] = []
    run = child.run
    monkeypatch.setattr(
        child, "run", lambda what, request, *rest: (started.append(request["task"]), run(what, request, *rest))[1]
    )
    hnsw.Graph.open(folder, info, DIM)
    assert started == []
    brought = tmp_path / "brought"
    shutil.copytree(folder, brought)
    for _ in range(2):
        graph = hnsw.Graph.open(brought, info, DIM)
    assert started == ["hnsw open"]
    found = graph.search(np.eye(1, DIM, dtype=np.float32), 5)
    assert found is not None
    assert found.shape == (1, 5)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_build_that_crashes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import os, sys\nsys.stdin.read(); os.kill(os.getpid(), {int(signal.SIGABRT)})"
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", code))
    rows = np.ones((3, 2), np.float32)
    with pytest.raises(TriptychError, match=r'failed: signal SIGABRT\. Choose the structure "exact"'):
        hnsw.build(rows, np.arange(3, dtype=np.int64), tmp_path, 8, 50, ignore_progress)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(60)"))
    with pytest.raises(BadInput, match="took more than"):
        child.run("Building", {"task": "hnsw build"}, child.Limits(0.5, 1e9))
