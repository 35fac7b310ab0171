"""Schema changes of a workspace, numbered and applied in order, each with its version in one transaction.

A migration is `NNNN_name.sql`, or `NNNN_name.py` with `def migrate(cursor)`; nothing published is ever edited.
"""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING

from engine.errors import WorkspaceDamaged

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILE = re.compile(r"(\d{4})_\w+\.(sql|py)")


def available() -> dict[int, str]:
    """File name by version, ascending."""
    names = (entry.name for entry in resources.files(__name__).iterdir())
    found = {int(match[1]): name for name in names if (match := _FILE.fullmatch(name))}
    return dict(sorted(found.items()))


def latest() -> int:
    """The schema version that this program writes."""
    return max(available())


def schema_version(cursor: DuckDBPyConnection) -> int:
    """The version of an open database; 0 when it is empty."""
    known = cursor.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_version'"
    ).fetchall()
    if not known[0][0]:
        return 0
    row = cursor.execute("SELECT max(version) FROM schema_version").fetchall()
    return int(row[0][0] or 0)


def check(version: int, where: str) -> None:
    """Refuse a schema newer than this program knows. Raises WorkspaceDamaged."""
    if version > latest():
        raise WorkspaceDamaged(
            f"{where} was written by a newer version of Triptych (schema {version}, this program reads up to "
            f"{latest()}). Upgrade Triptych, or choose another workspace folder; nothing was changed."
        )


def migrate(cursor: DuckDBPyConnection, upto: int | None = None) -> list[int]:
    """Bring the database to the latest version, or to `upto`; returns the versions applied. A migration that fails
    leaves the version before it."""
    applied = []
    current = schema_version(cursor)
    for version, name in available().items():
        if version <= current or (upto is not None and version > upto):
            continue
        cursor.begin()
        try:
            if name.endswith(".sql"):
                for statement in cursor.extract_statements(resources.files(__name__).joinpath(name).read_text("utf-8")):
                    cursor.execute(statement).fetchall()
            else:
                importlib.import_module(f"{__name__}.{name[:-3]}").migrate(cursor)
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)"
            ).fetchall()
            cursor.execute("INSERT INTO schema_version VALUES (?, now()::TIMESTAMP)", [version]).fetchall()
            cursor.commit()
        except BaseException:
            with suppress(Exception):  # a full disk has ended the transaction already, and is what must be told
                cursor.rollback()
            raise
        applied.append(version)
    return applied
