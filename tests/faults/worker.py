"""A process that adds a file and indexes it, and is killed at a given place: python worker.py WORKSPACE FILE PHASE.

PHASE "resume" takes up the job that was killed, "resume PHASE" only as far as that. It is started by the tests with kill -9 as the only way it can end early; no engine code knows of it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from engine.encoders import opening
from engine.indexes import shards
from engine.jobs import add as ingest
from engine.serving import queue as jobs
from engine.serving.engine import Engine
from engine.testing.contracts import HashEncoder
from engine.workspace import generations
from engine.workspace.database.database import Database
from engine.workspace.generations import Generations

SPECS = ["bm25", {"dense": {"model": "hash", "structure": "exact"}}]
BATCH, SHARD = 40, 32


def install() -> HashEncoder:
    """Small batches, and one encoder for every model."""
    encoder = HashEncoder(dimensions=256)
    opening.load_encoder = lambda *_, **__: encoder  # type: ignore[assignment]
    ingest.BATCH_ITEMS, shards.SHARD = BATCH, SHARD
    jobs._BEHIND = 0.0  # there is no other job to let go first
    return encoder


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(owner: Any, name: str, nth: int, *, after: bool = False, only: str = "") -> None:
    """Replace a method by one that kills the process at its nth call (whose arguments mention `only`), before or after doing its work."""
    original, calls = getattr(owner, name), []

    def replaced(*args: Any, **kwargs: Any) -> Any:
        if not only or any(only in str(arg) for arg in args):
            calls.append(name)
        if len(calls) == nth and not after:
            die()
        result = original(*args, **kwargs)
        if len(calls) == nth and after:
            die()
        return result

    setattr(owner, name, replaced)


def arm(phase: str, encoder: HashEncoder, resumed: bool = False) -> None:
    """Set the trap. A resumed job may have but one index left to publish."""
    if phase == "parse":
        die_at(ingest.Ingest, "_take", 3)
    elif phase == "before commit":
        count = [0]
        commit = Database._commit

        def before(self: Database, cursor: Any, seq: int) -> None:
            rows = cursor.execute("SELECT count(*) FROM documents").fetchall()[0][0]
            count[0] += rows > 0
            if count[0] == 3:
                die()
            commit(self, cursor, seq)

        Database._commit = before  # type: ignore[method-assign]
    elif phase == "after commit":
        die_at(ingest.Ingest, "_report", 2)
    elif phase == "encode":
        die_at(encoder, "encode_documents", 3)
    elif phase == "seal":
        die_at(generations, "_seal", 1 if resumed else 2, after=True)
    elif phase == "publish":
        die_at(Generations, "_insert", 1)
    elif phase == "published":
        die_at(Generations, "_insert", 1 if resumed else 2, after=True)
    elif phase != "never":
        raise SystemExit(f"unknown phase {phase}")


def work(folder: str, file: str, phase: str) -> None:
    """Do the job, or die in the phase."""
    encoder = install()
    resumed, _, place = phase.partition(" ") if phase.startswith("resume") else ("", "", phase)
    arm(place or "never", encoder, bool(resumed))
    with Engine.open(folder) as engine:
        workspace = engine.workspace
        if resumed:
            (job,) = engine.jobs.list()
            if job.status == "failed":  # set aside, after too many deaths
                engine.jobs.resume(job.job_id)
            print(engine.jobs.wait(job.job_id).status)
            return
        collection = workspace.create_collection("papers")
        job_id = engine.jobs.submit(
            "add", collection.collection_id, {"paths": [file], "then_index": SPECS, "chunker": {"sentences": {}}}
        )
        print(engine.jobs.wait(job_id).status)


if __name__ == "__main__":
    work(*sys.argv[1:])
