"""A backup and what is made of it: equal to one state of the workspace, or refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import threading
import zipfile

import pytest

from app.verbs.services import Services
from engine.errors import BadInput, StorageFull, WorkspaceDamaged
from engine.keeping import backup as backups
from engine.models.card import CARD_FILE
from engine.serving.doctor import check
from engine.types import Record
from engine.workspace.database import tables
from engine.workspace.workspace import Workspace
from tests.faults import damaging


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "workspace"
    damaging.fill(folder, documents=60)
    return folder


@pytest.fixture(scope="module")
def archive(filled, tmp_path_factory):
    file = tmp_path_factory.mktemp("backup") / "all.triptych"
    with Workspace.open(filled, read_only=True) as workspace:
        backups.backup(workspace, file)
    return file


def contents(folder):
    """Every table that a copy holds: the number of rows and a hash of all their values."""
    with Workspace.open(folder, read_only=True) as workspace:
        ask = workspace.database.rows
        return {table.name: ask(table.digest_sql())[0] for table in tables.tables(ask) if table.copied}


def test_round_trip_brings_every_row_of_every_table_back(filled, archive, tmp_path):
    before = (filled / "triptych.duckdb").read_bytes()
    made = backups.restore(archive, tmp_path / "restored")
    assert contents(tmp_path / "restored") == contents(filled)
    assert min(rows for rows, _ in contents(filled).values()) > 0, "no table is left out of the comparison"
    assert made.rows == sum(rows for rows, _ in contents(filled).values())
    assert [f.what for f in check(tmp_path / "restored") if f.level in ("warning", "error")] == []
    assert (filled / "triptych.duckdb").read_bytes() == before
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_restored_workspace_finds_the_same_after_indexing(tmp_path):
    source = tmp_path / "papers.jsonl"
    source.write_text(
        "".join(json.dumps({"_id": f"d{n}", "text": f"on {damaging.WORDS[n % 8]} number{n}"}) + "\n" for n in range(40))
    )

    def found(services):
        assert services.wait(services.index("papers", services.needed_indexes(["BM25"])), 60).status == "done"
        return [
            (hit.doc_id, round(hit.score, 6)) for hit in services.search("papers", "fusion number18", "BM25", k=5).cards
        ]

    with Services(tmp_path / "one") as services:
        services.wait(services.add([str(source)], "papers", index=False), 60)
        before = found(services)
        services.backup(tmp_path / "b.triptych")
        with pytest.raises(BadInput, match="is there already"):
            services.backup(tmp_path / "b.triptych")
        with pytest.raises(BadInput, match="lies inside the workspace"):
            services.backup(tmp_path / "one" / "b.triptych")
    backups.restore(tmp_path / "b.triptych", tmp_path / "two")
    with Services(tmp_path / "two") as services:
        assert len(before) > 0
        assert found(services) == before


def test_backup_while_documents_are_added_equals_one_state(tmp_path, workspace, papers, monkeypatch):
    """Between any two pieces of the backup the writer commits, and every state that it leaves is known by its hash."""
    states, stop, wrote = {}, threading.Event(), threading.Event()
    cid = papers.collection_id
    workspace.documents.upsert(cid, [Record(f"old-{n}", text=f"text {n}") for n in range(300)], "f")

    def note():
        seq = workspace.database.rows("SELECT write_seq FROM counters")[0][0]
        states[seq] = workspace.documents.content_hash(cid)
        wrote.set()

    def write():
        batch = 0
        while not stop.is_set():
            workspace.documents.upsert(cid, [Record(f"new-{batch}-{n}", text=f"{batch} {n}") for n in range(20)], "f")
            note()
            workspace.documents.delete(cid, [f"old-{batch % 300}"])
            note()
            batch += 1

    def next_step(step, frame):
        if len(frame) > 1:
            wrote.clear()
            assert wrote.wait(20)
        return backups.FEWEST

    monkeypatch.setattr(backups, "_next_step", next_step)
    note()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = backups.backup(workspace, tmp_path / "b.triptych")
    finally:
        stop.set()
        writer.join()
    assert max(states) > made.write_seq + 5, "states passed while the backup was written"
    backups.restore(tmp_path / "b.triptych", tmp_path / "restored")
    with Workspace.open(tmp_path / "restored", read_only=True) as restored:
        assert restored.documents.content_hash(cid) == states[made.write_seq]
        assert restored.database.rows("SELECT write_seq FROM counters")[0][0] == made.write_seq
        for one, other in (("documents", "passages"), ("passages", "documents")):
            assert restored.database.rows(f"SELECT count(*) FROM {one} ANTI JOIN {other} USING (doc_no)") == [(0,)]


def test_models_come_along_when_asked(tmp_path, workspace):
    from engine.models.catalogue import bundled_models, model_folder

    name = next(iter(bundled_models()))
    own = workspace.folder / "models" / "mine"
    shutil.copytree(model_folder(name), own, ignore=shutil.ignore_patterns("*.md"))
    card = json.loads((own / CARD_FILE).read_text())
    (own / CARD_FILE).write_text(json.dumps(card | {"name": "mine"}))
    shutil.copytree(own, workspace.folder / "models" / "broken")
    (workspace.folder / "models" / "broken" / CARD_FILE).write_text("{}")
    made = backups.backup(workspace, tmp_path / "with", with_models=True)
    assert made.models == ("mine",)
    assert list(made.models_left_out) == ["broken"]
    assert backups.backup(workspace, tmp_path / "without").models == ()
    backups.restore(tmp_path / "with", tmp_path / "restored")
    with Workspace.open(tmp_path / "restored") as restored:
        assert list(restored.models.cards()) == ["mine"]
    for file in card["files"]:
        assert (tmp_path / "restored" / "models" / "mine" / file).read_bytes() == (own / file).read_bytes()


def rewritten(archive, target, change):
    """A copy of an archive with its entries as `change` gives them back: it takes and returns {name: bytes}."""
    with zipfile.ZipFile(archive) as source:
        entries = {info.filename: source.read(info) for info in source.infolist()}
    with zipfile.ZipFile(target, "w") as made:
        for name, content in change(entries).items():
            made.writestr(name, content)
    return target


def manifest_with(entries, **changes):
    return entries | {backups.MANIFEST: json.dumps(json.loads(entries[backups.MANIFEST]) | changes).encode()}


def listed(entries, name, content=b"x"):
    """An entry that its manifest names as well, under a model."""
    model = name.split("/")[1]
    member = {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": 0}
    return manifest_with(entries, models={model: [member]}) | {name: content}


def first_piece(entries):
    return next(name for name in entries if name.startswith("tables/documents/"))


HOSTILE = {
    "escaping": (lambda e: e | {"../outside.txt": b"x"}, WorkspaceDamaged, "outside.txt"),
    "absolute": (lambda e: e | {"/tmp/outside.txt": b"x"}, WorkspaceDamaged, "outside.txt"),
    "escaping within": (lambda e: e | {"models/../x/a": b"x"}, WorkspaceDamaged, "models/../x/a"),
    "escaping and listed": (lambda e: listed(e, "models/../escaped"), WorkspaceDamaged, "models/../escaped"),
    "escaping and listed as a file": (lambda e: listed(e, "models/x/../../escaped"), WorkspaceDamaged, "which no backup"),
    "unlisted": (lambda e: e | {"tables/documents/999999.arrow": b"x"}, WorkspaceDamaged, "not in its manifest"),
    "missing piece": (lambda e: {n: c for n, c in e.items() if n != first_piece(e)}, WorkspaceDamaged, "is missing"),
    "altered piece": (lambda e: e | {first_piece(e): bytes(len(e[first_piece(e)]))}, WorkspaceDamaged, "was altered"),
    "longer piece": (lambda e: e | {first_piece(e): e[first_piece(e)] + b"x"}, WorkspaceDamaged, "instead of"),
    "no manifest": (lambda e: {n: c for n, c in e.items() if n != backups.MANIFEST}, BadInput, "is no backup"),
    "another format": (lambda e: manifest_with(e, format="other"), BadInput, "is no backup"),
    "newer format": (lambda e: manifest_with(e, version=2), WorkspaceDamaged, "another version"),
    "newer schema": (lambda e: manifest_with(e, schema_version=99), WorkspaceDamaged, "newer version"),
    "manifest of nonsense": (lambda e: manifest_with(e, tables=[1]), WorkspaceDamaged, "not as it was written"),
    "table left out": (
        lambda e: manifest_with({n: c for n, c in e.items() if "/runs/" not in n}, tables={n: t for n, t in json.loads(e[backups.MANIFEST])["tables"].items() if n != "runs"}),
        WorkspaceDamaged, "'runs' is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_and_damaged_archives_are_refused_before_anything_appears(archive, tmp_path, name):
    change, kind, said = HOSTILE[name]
    file = rewritten(archive, tmp_path / "b", change)
    with pytest.raises(kind) as raised:
        backups.restore(file, tmp_path / "restored")
    assert str(file) in str(raised.value)
    assert said in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_every_kind_of_broken_file_is_refused(archive, tmp_path):
    raw = archive.read_bytes()
    (tmp_path / "home").mkdir()
    for cut in (0, 1, 30, len(raw) // 2, len(raw) - 1):
        (tmp_path / "b").write_bytes(raw[:cut])
        with pytest.raises((WorkspaceDamaged, BadInput)):
            backups.restore(tmp_path / "b", tmp_path / "home" / "restored")
    for number in range(24):
        altered = bytearray(raw)
        altered[len(raw) * number // 24] ^= 1 << (number % 8)
        (tmp_path / "b").write_bytes(altered)
        try:
            backups.restore(tmp_path / "b", tmp_path / "home" / "restored")
        except (WorkspaceDamaged, BadInput):
            assert list((tmp_path / "home").iterdir()) == []
        else:  # a bit that means nothing, such as one of a date
            shutil.rmtree(tmp_path / "home" / "restored")


def test_oversized_archives_are_refused(archive, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(backups, "MAX_PIECE", 1_000)
        with pytest.raises(WorkspaceDamaged, match="would unfold to"):
            backups.restore(archive, tmp_path / "restored")
    monkeypatch.setattr(backups.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(StorageFull, match="Free some space"):
        backups.restore(archive, tmp_path / "restored")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(archive, filled, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="is not empty"):
        backups.restore(archive, tmp_path / "used")
    (tmp_path / "empty").mkdir()
    backups.restore(archive, tmp_path / "empty")
    assert contents(tmp_path / "empty") == contents(filled)


def test_backup_that_fails_leaves_no_file(filled, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups.os, "fsync", full)
    with Workspace.open(filled, read_only=True) as workspace, pytest.raises(StorageFull):
        backups.backup(workspace, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_backup_of_an_older_schema_is_brought_up_to_date(archive, filled, tmp_path, monkeypatch):
    """What was written before a migration goes through it."""
    from engine.workspace.database import migrations

    real, latest = migrations.available, migrations.latest()
    later = migrations.importlib.import_module

    class Later:
        @staticmethod
        def migrate(cursor):
            cursor.execute("UPDATE collections SET description = 'migrated'").fetchall()

    monkeypatch.setattr(migrations, "available", lambda: real() | {latest + 1: f"{latest + 1:04}_later.py"})
    monkeypatch.setattr(
        migrations.importlib, "import_module", lambda name: Later if name.endswith("_later") else later(name)
    )
    backups.restore(archive, tmp_path / "restored")
    with Workspace.open(tmp_path / "restored") as restored:
        assert {collection.description for collection in restored.collections()} == {"migrated"}
        assert restored.collection("papers").documents == 60
