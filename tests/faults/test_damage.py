"""A damaged database file, wherever the damage is: the right content or an error of ours, a doctor that ends, a salvage that copies the rest."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from app.cli.main import main
from engine.errors import BadInput, WorkspaceDamaged, WorkspaceInUse
from engine.keeping.salvage import salvage
from engine.serving import doctor
from engine.serving.doctor import check
from engine.workspace.creation import REPORT
from engine.workspace.database import recovery, tables
from engine.workspace.database.probing import Probe, Unreadable
from engine.workspace.workspace import Workspace
from tests.faults import damaging

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "workspace"
    damaging.fill(folder, documents=60)
    return folder


@pytest.fixture(scope="module")
def probe():
    """One child for all files; a crash gives the next question another."""
    with Probe(Path("none")) as one:
        yield one


def damaged(filled, folder, damage):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(filled, folder)
    raw = bytearray((folder / recovery.DATABASE_NAME).read_bytes())
    damage.apply(raw)
    (folder / recovery.DATABASE_NAME).write_bytes(raw)
    return folder


def contents(folder):
    """Every table that a copy holds: the number of rows and a hash of all their values."""
    with Workspace.open(folder, read_only=True) as workspace:
        ask = workspace.database.rows
        return {table.name: ask(table.digest_sql())[0] for table in tables.tables(ask) if table.copied}


def shown(folder):
    """What the verbs of a workspace answer: a value, or "damaged"."""
    try:
        workspace = Workspace.open(folder, read_only=True)
    except WorkspaceDamaged:
        return {"opening": "damaged"}
    answers = {}
    with workspace:
        for name, ask in {
            "collections": lambda: [(c.name, c.documents, c.passages) for c in workspace.collections()],
            "documents": lambda: [workspace.documents.content_hash(c.collection_id) for c in workspace.collections()],
            "browse": lambda: workspace.documents.fetch(workspace.collection("papers").collection_id, ["papers-7"])["text"].to_list(),
            "texts": lambda: workspace.documents.unit_texts(workspace.collection("notes").collection_id, "passage", workspace.documents.snapshot(workspace.collection("notes").collection_id).passage_nos[:3]),
            "pipelines": lambda: [(p.name, p.yaml) for p in workspace.pipelines()],
            "settings": lambda: workspace.setting("kept"),
            "shortlist": lambda: workspace.shortlist(workspace.collection("papers").collection_id).rows(),
            "jobs": lambda: [(job.kind, job.counts) for job in workspace.jobs.list()],
            "generations": lambda: [g.generation_id for g in workspace.generations.live(workspace.collection("papers").collection_id)],
            "evaluations": lambda: workspace.query("SELECT * FROM evaluation_values").rows(),
        }.items():  # fmt: skip
            try:
                answers[name] = ask()
            except WorkspaceDamaged:
                answers[name] = "damaged"
    return answers


def test_one_flipped_bit_in_any_block_is_met_with_an_error_of_ours_and_named_by_doctor(filled, tmp_path, probe):
    size = (filled / recovery.DATABASE_NAME).stat().st_size
    right = shown(filled)
    assert "damaged" not in right.values()
    met = 0
    for damage in damaging.flips(size, seed=1):
        folder = damaged(filled, tmp_path / "workspace", damage)
        shown_now = shown(folder)
        for name, answer in shown_now.items():
            assert answer == "damaged" or answer == right[name], (damage.name, name)
            met += answer == "damaged"
        if "opening" not in shown_now:
            with Workspace.open(folder, read_only=True) as workspace:
                assert unreadable(workspace), damage.name
    assert met >= 20


def test_other_damage_ends_in_an_error_of_ours_too(filled, tmp_path, probe):
    """Where two sound blocks are in each other's place no checksum tells; then no answer is promised, but no other kind of error comes."""
    size = (filled / recovery.DATABASE_NAME).stat().st_size
    right = shown(filled)
    for damage in damaging.others(size, seed=2):
        folder = damaged(filled, tmp_path / "workspace", damage)
        for name, answer in shown(folder).items():
            assert "swapped" in damage.name or answer == "damaged" or answer == right[name], (damage.name, name)
        assert broken(folder, probe), damage.name


def test_doctor_finds_a_flipped_bit_with_its_child_too(filled, tmp_path, probe):
    size = (filled / recovery.DATABASE_NAME).stat().st_size
    for damage in [*damaging.flips(size, seed=7)][12::8]:
        assert broken(damaged(filled, tmp_path / "workspace", damage), probe), damage.name


def test_salvage_copies_what_is_readable_lists_the_rest_and_leaves_the_original(filled, tmp_path, probe):
    size = (filled / recovery.DATABASE_NAME).stat().st_size
    right, outcomes = contents(filled), []
    flips, others = [*damaging.flips(size, seed=3)], [*damaging.others(size, seed=4)]
    for damage in (flips[0], flips[4], flips[8], *flips[14::16], others[4]):
        folder, new = damaged(filled, tmp_path / "workspace", damage), tmp_path / "new"
        before = files(folder)
        shutil.rmtree(new, ignore_errors=True)
        try:
            result = salvage(folder, new, probe)
        except WorkspaceDamaged:
            outcomes.append("nothing")
            assert not new.exists()
        else:
            outcomes.append(result.outcome)
            lost = {one.table for one in result.lost}
            for name, found in contents(new).items():
                told = name in lost or "(header)" in lost or result.mended
                assert told or found == right[name], (damage.name, name)
            assert (result.outcome == "complete") == (not result.lost)
            assert [f.what for f in check(new, probe=probe) if f.level == "error"] == [], damage.name
            assert (new / REPORT).is_file()
        assert files(folder) == before, damage.name
    assert sorted(outcomes[:3]) == ["nothing", "partial", "partial"], "two of three headers can be done without"
    assert "nothing" not in outcomes[3:]
    assert "partial" in outcomes[3:]


def files(folder):
    """Every file below a folder, by a hash of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def unreadable(workspace):
    """The tables that doctor finds damaged, read in this process."""

    def ask(sql, params=()):
        try:
            return workspace.database.rows(sql, params)
        except WorkspaceDamaged as error:
            raise Unreadable(str(error)) from error

    return doctor._readable(ask)[0]


def broken(folder, probe):
    """What doctor finds wrong; the rows that fill the table of indexes have no folders, which is no part of the damage."""
    return [f for f in check(folder, probe=probe) if f.level == "error" and not f.what.startswith("index ")]


def flipped_in(filled, folder, table):
    shutil.rmtree(folder, ignore_errors=True)
    damaging.flip_in(shutil.copytree(filled, folder), table)
    return folder


def test_passages_and_names_that_are_lost_are_made_anew(filled, tmp_path, probe):
    result = salvage(flipped_in(filled, tmp_path / "a", "passages"), tmp_path / "new-a", probe)
    assert result.outcome == "partial"
    right, found = contents(filled), contents(tmp_path / "new-a")
    assert found["documents"] == right["documents"]
    assert found["passages"][0] >= 120, "every document has passages again"
    result = salvage(flipped_in(filled, tmp_path / "b", "collections"), tmp_path / "new-b", probe)
    with Workspace.open(tmp_path / "new-b") as workspace:
        assert [(c.name, c.documents) for c in workspace.collections()] == [("recovered 1", 60), ("recovered 2", 60)]
        assert workspace.documents.delete(workspace.collections()[0].collection_id, ["papers-1", "notes-1"]) == 1


def test_documents_that_differ_from_their_hash_are_left_out_and_named(filled, tmp_path, probe):
    folder = Path(shutil.copytree(filled, tmp_path / "workspace"))
    with Workspace.open(folder) as workspace:
        workspace.cursor().execute("UPDATE documents SET text = 'altered' WHERE doc_id = 'papers-3'").fetchall()
    result = salvage(folder, tmp_path / "new", probe)
    assert [(one.table, one.rows, one.ids) for one in result.lost] == [("documents", 1, ("papers-3",))]
    assert result.rows["documents"] == 120
    assert contents(tmp_path / "new")["documents"][0] == 119


def test_large_tables_are_copied_around_the_damage(tmp_path, probe):
    folder = tmp_path / "workspace"
    with Workspace.open(folder) as workspace:
        workspace.create_collection("papers")
        with workspace.database.write("filling") as cursor:
            cursor.execute(
                "INSERT INTO pipelines SELECT 'p' || range, repeat(md5(range::VARCHAR), 30), now()::TIMESTAMP, now()::TIMESTAMP FROM range(20000)"
            ).fetchall()
        workspace.database.rows("CHECKPOINT")
        blocks = workspace.database.rows(
            "SELECT DISTINCT block_id FROM pragma_storage_info('pipelines') WHERE column_name = 'yaml' AND block_id >= 0 ORDER BY 1"
        )
        assert len(blocks) > 4
    file = folder / recovery.DATABASE_NAME
    raw = bytearray(file.read_bytes())
    damaging.flip(damaging.FIRST_BLOCK + blocks[len(blocks) // 2][0] * damaging.BLOCK + 999, 3).apply(raw)
    file.write_bytes(raw)
    result = salvage(folder, tmp_path / "new", probe)
    lost = [one for one in result.lost if one.table == "pipelines"]
    assert 0 < sum(one.rows for one in lost) < 10_000
    assert all(one.rows <= 1_024 for one in lost), "around the damage it is read in small pieces"
    assert sum(one.rows for one in lost) + result.rows["pipelines"] == 20_000
    assert {len(one.ids) for one in lost} == {one.rows for one in lost}, "their names are known"
    with Workspace.open(tmp_path / "new") as workspace:
        names = {saved.name for saved in workspace.pipelines()}
    assert names | {name for one in lost for name in one.ids} == {f"p{n}" for n in range(20_000)}


def test_salvage_refuses_a_folder_that_is_used_or_inside_and_a_workspace_in_use(filled, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="is not empty"):
        salvage(filled, tmp_path / "used")
    with pytest.raises(BadInput, match="lies inside"):
        salvage(filled, filled / "new")
    with Workspace.open(tmp_path / "open"), pytest.raises(WorkspaceInUse):
        salvage(tmp_path / "open", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_crash_and_a_hang_while_reading_end_no_doctor(filled, tmp_path, monkeypatch):
    """The child is ended as a crash of the database would end it."""
    folder = Path(shutil.copytree(filled, tmp_path / "workspace"))
    (tmp_path / "crash").mkdir()
    (tmp_path / "crash" / "sitecustomize.py").write_text(
        "import duckdb, os, signal\n"
        "real = duckdb.connect\n"
        "class Crashing:\n"
        "    def __init__(self, inner): self.inner = inner\n"
        "    def execute(self, sql, *a):\n"
        "        if 'bit_xor' in sql and '\"runs\"' in sql: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return self.inner.execute(sql, *a)\n"
        "    def __getattr__(self, name): return getattr(self.inner, name)\n"
        "duckdb.connect = lambda *a, **k: Crashing(real(*a, **k))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "crash"))
    (error,) = broken(folder, None)
    assert "'runs' is damaged" in error.what
    assert "signal 11" in error.what
    with (
        Probe(folder / recovery.DATABASE_NAME, seconds=1.0) as slow,
        pytest.raises(Unreadable, match="no answer in 1 s"),
    ):
        slow.rows("SELECT count(*) FROM range(100000) a, range(1000000) b WHERE a.range + b.range = -1")


def test_the_commands_end_with_5_and_without_a_traceback(filled, tmp_path, monkeypatch, capsys):
    folder = flipped_in(filled, tmp_path / "workspace", "collections")
    for arguments in (["collections", "list"], ["search", "dense", "-c", "papers"], ["doctor"]):
        monkeypatch.setattr(sys, "argv", ["triptych", "-w", str(folder), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = "".join(capsys.readouterr())
        assert ended.value.code == 5, said
        assert "Traceback" not in said
        assert "damage" in said
    done = subprocess.run(
        [sys.executable, "-m", "app", "-w", str(folder), "doctor", "--salvage", str(tmp_path / "new")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert "not copied" in done.stdout


def test_a_damaged_workspace_raises_only_errors_of_ours_when_written(filled, tmp_path):
    size = (filled / recovery.DATABASE_NAME).stat().st_size
    for damage in [*damaging.flips(size, seed=5)][12::7]:
        folder = damaged(filled, tmp_path / "workspace", damage)
        try:
            with Workspace.open(folder) as workspace:
                for act in (
                    lambda: workspace.set_setting("new", 1),
                    lambda: workspace.documents.delete(workspace.collection("papers").collection_id, ["papers-1"]),
                    lambda: workspace.rename_collection("notes", "remarks"),
                    lambda: workspace.database.rows("CHECKPOINT"),
                ):
                    with suppress(WorkspaceDamaged):
                        act()
        except WorkspaceDamaged:
            continue
