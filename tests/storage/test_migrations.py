"""Workspaces of every earlier schema, with rows in every table, come up to date without losing or altering one."""

from __future__ import annotations

import json
from importlib import resources

import duckdb
import pytest

from engine.workspace.creation import MARKER
from engine.workspace.database import migrations
from engine.workspace.database.recovery import DATABASE_NAME
from engine.workspace.workspace import Workspace

DROPPED = {"query_log"}  # with what people had looked for, on purpose
ALTERED = {"schema_version", "counters"}


def value(column, kind, number):
    """A value that is different for every row and column."""
    if column == "status":
        return "paused"  # a job that waits for its user: nothing runs, and its build is kept
    if kind == "VARCHAR[]":
        return [f"{column} {number}", "é 日本"]
    return {
        "VARCHAR": f"{column} {number}", "JSON": json.dumps({column: number}), "TIMESTAMP": f"2024-01-0{number} 10:20:30",
        "DOUBLE": number + 0.25, "INTEGER": number, "BIGINT": number,
    }[kind]  # fmt: skip


def columns(connection):
    """Names and types of every table's columns."""
    found = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY table_name, ordinal_position"
    ).fetchall():
        found.setdefault(table, []).append((column, kind))
    return found


def earlier(folder, version):
    """A workspace as the program of that schema left it: no marker, two rows in each table. Returns its rows by table."""
    folder.mkdir()
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)")
        for number, name in migrations.available().items():
            if number <= version:
                connection.execute(resources.files(migrations.__name__).joinpath(name).read_text("utf-8"))
                connection.execute("INSERT INTO schema_version VALUES (?, TIMESTAMP '2024-01-01')", [number])
        tables = columns(connection)
        for table, described in tables.items():
            for number in (1, 2) if table not in ALTERED else ():
                values = [value(column, kind, number) for column, kind in described]
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in values)})", values)
        connection.execute("UPDATE counters SET write_seq = 41, next_doc_no = 3, next_passage_no = 3")
        return {
            table: (names, connection.execute(f"SELECT {names} FROM {table} ORDER BY ALL").fetchall())
            for table, described in tables.items()
            if (names := ", ".join(column for column, _ in described))
        }


@pytest.mark.parametrize("version", range(1, migrations.latest()))
def test_a_filled_workspace_of_an_earlier_schema_keeps_every_row(tmp_path, version):
    folder = tmp_path / "workspace"
    before = earlier(folder, version)
    assert {"documents", "passages", "jobs", "shortlist", "judgments", "queries", "pipelines", "settings"} <= set(
        before
    )
    assert all(len(rows) >= 1 for _, rows in before.values())
    with Workspace.open(folder) as workspace:
        assert workspace.notices == []
        assert migrations.schema_version(workspace.cursor()) == migrations.latest()
        for table, (names, rows) in before.items():
            if table not in DROPPED | ALTERED:
                assert workspace.cursor().execute(f"SELECT {names} FROM {table} ORDER BY ALL").fetchall() == rows, table
        assert workspace.query("SELECT next_doc_no, next_passage_no FROM counters").row(0) == (3, 3)
        assert workspace.query("SELECT write_seq FROM counters").item() >= 41
        assert not DROPPED & set(columns(workspace.cursor()))
        if version == 1:
            added = workspace.query("SELECT query_set, note, shown FROM judgments")
            assert added.rows() == [("default", "", "{}")] * 2
        assert [collection.documents for collection in workspace.collections()] == [1, 1]
        assert [job.status for job in workspace.jobs.list()] == ["paused", "paused"]
    assert (folder / MARKER).is_file()
