"""A process whose disk fails once: python eio_worker.py WORKSPACE STATES. Ends with 0, or with 3 after an error of ours, which it prints.

It writes every content hash that a committed state can have into STATES, before it commits: a commit may report an error and hold.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.errors import TriptychError
from engine.indexes.bm25 import Bm25Index
from engine.serving.building import build_index
from engine.types import Record
from engine.workspace.workspace import Workspace


def main(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        cid = workspace.create_collection("papers").collection_id
        for batch in range(3):
            records = [Record(f"d{batch}-{n}", text=f"batch {batch} number {n} of many") for n in range(30)]
            workspace.documents.upsert(cid, records, "file")
        build_index(workspace, cid, Bm25Index())
        workspace.documents.delete(cid, [f"d1-{n}" for n in range(10)])
        workspace.database.rows("CHECKPOINT")
        workspace.set_setting("last", True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except TriptychError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.stdout.flush()
        os._exit(3)
