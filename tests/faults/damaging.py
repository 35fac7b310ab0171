"""Damage to a database file, chosen by a seed, and a small workspace with something in every table to damage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.types import Record
from engine.workspace.database import recovery
from engine.workspace.workspace import Workspace

BLOCK, FIRST_BLOCK = 262_144, 12_288
"""Bytes in a block of the file, and where the first one begins; three headers of 4,096 bytes come before."""
WORDS = ("sparse", "dense", "fusion", "ranking", "graph", "query", "model", "judgment")
_VALUES: dict[str, Callable[[str, int], object]] = {
    "VARCHAR": lambda name, n: f"{name}-{n}",
    "JSON": lambda name, n: f'{{"{name}": {n}}}',
    "BIGINT": lambda name, n: n,
    "INTEGER": lambda name, n: n % 4,
    "DOUBLE": lambda name, n: n / 7,
    "TIMESTAMP": lambda name, n: f"2026-01-01 00:{n // 60:02}:{n % 60:02}",
    "VARCHAR[]": lambda name, n: [f"{name}-{n}", "everyone"],
}


def fill(folder: Path, documents: int = 300) -> None:
    """Two collections of documents, and rows in every other table that the schema has."""
    source = random.Random(1)
    with Workspace.open(folder) as workspace:
        for name in ("papers", "notes"):
            cid = workspace.create_collection(name).collection_id
            workspace.documents.upsert(cid, [_record(source, f"{name}-{n}") for n in range(documents)], "file.jsonl")
        workspace.save_pipeline("mine", "name: mine\nstages:\n  - bm25: {}\n")
        workspace.set_setting("kept", {"value": 1})
        workspace.add_to_shortlist(workspace.collection("papers").collection_id, "papers-1", "read this")
        for (table,) in workspace.database.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal"):
            if not workspace.database.rows(f"SELECT count(*) FROM {table}")[0][0]:
                _fill_table(workspace, table, workspace.collection("papers").collection_id)
        workspace.database.rows("CHECKPOINT")


def _record(source: random.Random, doc_id: str) -> Record:
    text = " ".join(f"{source.choice(WORDS)}{source.randrange(500)}" for _ in range(150))
    return Record(doc_id, title=f"On {text[:20]}", text=text, authors=("A. Author",), year=2000, metadata={"pages": 3})


def _fill_table(workspace: Workspace, table: str, collection_id: str) -> None:
    columns = workspace.database.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    )
    rows = [
        [collection_id if name == "collection_id" else _FIXED.get((table, name)) or _VALUES[kind](name, n) for name, kind in columns]
        for n in range(100)
    ]  # fmt: skip
    with workspace.database.write(f"filling {table}") as cursor:
        marks = f"({', '.join('?' for _ in columns)})"
        cursor.execute(f"INSERT INTO {table} VALUES {', '.join([marks] * len(rows))}", [v for row in rows for v in row])


_FIXED = {("jobs", "status"): "done", ("jobs", "kind"): "index", ("builds", "job_id"): "none"}


@dataclass(frozen=True)
class Damage:
    """One change of the bytes of a file."""

    name: str
    apply: Callable[[bytearray], None]


def flip(position: int, bit: int) -> Damage:
    """One bit turned over."""

    def apply(raw: bytearray) -> None:
        raw[position] ^= 1 << bit

    return Damage(f"bit {bit} of byte {position}", apply)


def flip_in(folder: Path, table: str) -> None:
    """Turn one bit over in the first block of a table of a workspace that is closed."""
    file = folder / recovery.DATABASE_NAME
    connection = recovery.connect(file, read_only=True)
    sql = "SELECT min(block_id) FROM pragma_storage_info(?) WHERE block_id >= 0"
    block = connection.execute(sql, [table]).fetchall()[0][0]
    connection.close()
    raw = bytearray(file.read_bytes())
    flip(FIRST_BLOCK + block * BLOCK + 999, 3).apply(raw)
    file.write_bytes(raw)


def flips(size: int, seed: int) -> Iterator[Damage]:
    """Bits of each header and of each block: in its checksum, near its beginning, and anywhere."""
    source = random.Random(seed)
    for header in (0, 4_096, 8_192):
        for within in (0, 8, 16, source.randrange(24, 4_096)):
            yield flip(header + within, source.randrange(8))
    for start in range(FIRST_BLOCK, size, BLOCK):
        yield flip(start + source.choice((source.randrange(8), source.randrange(8, 4_096), source.randrange(BLOCK))), source.randrange(8))  # fmt: skip


def cut(size: int) -> Damage:
    """Everything from a position on is gone."""

    def apply(raw: bytearray) -> None:
        del raw[size:]

    return Damage(f"cut to {size} bytes", apply)


def overwrite(position: int, with_: bytes, name: str) -> Damage:
    """Other bytes in place of what was there."""

    def apply(raw: bytearray) -> None:
        raw[position : position + len(with_)] = with_

    return Damage(name, apply)


def swap(one: int, other: int) -> Damage:
    """Two blocks, each sound, in each other's place: no checksum tells."""

    def apply(raw: bytearray) -> None:
        first, second = (slice(FIRST_BLOCK + n * BLOCK, FIRST_BLOCK + (n + 1) * BLOCK) for n in (one, other))
        raw[first], raw[second] = raw[second], raw[first]

    return Damage(f"blocks {one} and {other} swapped", apply)


def others(size: int, seed: int) -> Iterator[Damage]:
    """Cuts, an emptied block, swapped blocks, garbage in a header."""
    source, blocks = random.Random(seed), (size - FIRST_BLOCK) // BLOCK
    yield from (cut(at) for at in (2_000, FIRST_BLOCK + BLOCK // 2, FIRST_BLOCK + blocks // 2 * BLOCK, size - 1))
    yield overwrite(FIRST_BLOCK + blocks // 3 * BLOCK, bytes(BLOCK), f"block {blocks // 3} emptied")
    yield from (swap(*source.sample(range(1, blocks), 2)) for _ in range(4))
    yield overwrite(0, source.randbytes(4_096), "garbage in the first header")
