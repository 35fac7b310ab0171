"""A workspace made from rows that were stored before: aside, whole, and then there by one rename."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from engine.errors import BadInput
from engine.workspace.database import migrations, recovery, tables
from engine.workspace.database.tables import Table
from engine.workspace.generations import sync
from engine.workspace.models import MODELS
from engine.workspace.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection


def refuse_used(target: Path) -> None:
    """Raises BadInput where the folder is there and not empty, or lies in no folder."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is not empty. Name a new folder; nothing is ever written over.")
    if not target.parent.is_dir():
        raise BadInput(f"The folder {target.parent} does not exist. Create it, or choose another place.")


class Rebuilding:
    """Use it in a `with`: what is not published by its end leaves no trace. `schema` is the version that the rows
    have."""

    def __init__(self, target: Path, schema: int) -> None:
        refuse_used(target)
        self._target = target
        self.aside = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        self.aside.mkdir(mode=0o700)
        try:
            (self.aside / "rows").mkdir(mode=0o700)
            self.models = self.aside / MODELS
            self.cursor: DuckDBPyConnection = recovery.connect(self._rows, read_only=False)
            migrations.migrate(self.cursor, schema)
            self.tables = {table.name: table for table in tables.tables(self._ask)}
            for table in self.tables.values():
                if table.copied:  # rows that a migration put there
                    self.cursor.execute(f"DELETE FROM {tables.quoted(table.name)}").fetchall()  # noqa: S608
        except BaseException:
            self._discard()
            raise

    @property
    def _rows(self) -> Path:
        return self.aside / "rows" / recovery.DATABASE_NAME

    def _ask(self, sql: str, params: object = ()) -> list[tuple[object, ...]]:
        return list(self.cursor.execute(sql, params).fetchall())

    def load(self, table: Table, frame: pl.DataFrame) -> None:
        """Add rows to the table of the same name. Raises duckdb.Error."""
        self.tables[table.name].insert(self.cursor, frame)

    def publish(self) -> None:
        """Bring the schema up to date, flush everything to the disk, and give the folder its name."""
        migrations.migrate(self.cursor)
        self.cursor.execute("CHECKPOINT").fetchall()
        self.cursor.close()
        made = self.aside / "workspace"
        Workspace.open(made).close()  # with all that belongs to a workspace
        os.replace(self._rows, made / recovery.DATABASE_NAME)
        (made / recovery.DATABASE_NAME).chmod(0o600)
        if self.models.is_dir():
            os.replace(self.models, made / MODELS)
        for path in sorted(made.rglob("*"), reverse=True):
            sync(path)
        sync(made)
        if self._target.is_dir():
            self._target.rmdir()
        os.rename(made, self._target)
        sync(self._target.parent)

    def _discard(self) -> None:
        if hasattr(self, "cursor"):
            self.cursor.close()
        shutil.rmtree(self.aside, ignore_errors=True)

    def __enter__(self) -> Rebuilding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()
