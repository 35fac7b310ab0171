"""Every write, flush and rename of a short life of a workspace fails once: python -m tests.faults.every_eio prints what came of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.errors import TriptychError
from engine.serving.doctor import check
from engine.workspace.workspace import Workspace

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALLS = ("write", "sync", "rename")
SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """How one run ended: "done", "refused" with an error of ours, or what else; and what is wrong afterwards, if anything."""

    ended: str
    said: str
    wrong: str


def build(target: Path) -> Path | None:
    """The library that fails calls; None where there is no C compiler, or no way to load it."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = target / "eio.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "eio.c"), "-ldl"], check=True)
    return library


def run(
    library: Path, folder: Path, call: str, nth: int, count: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The worker with the nth call failing; with 0 none fails, and their number is written to `count`."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library), "EIO_CALL": call, "EIO_NTH": str(nth), "EIO_PREFIX": str(folder),
        "EIO_COUNT": str(count or ""), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, str(HERE / "eio_worker.py"), str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS
    )  # fmt: skip


def number_of(library: Path, home: Path, call: str) -> int:
    """How many calls of a kind an undisturbed run makes."""
    count = home / f"count-{call}"
    done = run(library, home / f"counting-{call}", call, 0, count)
    assert done.returncode == 0, done.stderr
    return int(count.read_text()) if count.exists() else 0


def wrong(folder: Path) -> str:
    """What is wrong with a workspace after the disk has failed; empty where it opens in one of the committed states."""
    try:
        with Workspace.open(folder) as workspace:
            for collection in workspace.collections():
                ids = set(workspace.documents.snapshot(collection.collection_id).doc_ids.to_list())
                expected = {f"d{batch}-{n}" for batch in range(3) for n in range(30)}
                if len(ids) == 80:
                    expected -= {f"d1-{n}" for n in range(10)}
                else:
                    expected = {one for one in expected if int(one[1]) < len(ids) // 30}
                if ids != expected:
                    return f"{len(ids)} documents are no committed state"
            if not workspace.collections():
                workspace.create_collection("papers")
            workspace.set_setting("usable", True)
        return "; ".join(finding.what for finding in check(folder) if finding.level == "error")
    except TriptychError as error:
        return f"{type(error).__name__}: {error}"


def outcome(library: Path, folder: Path, call: str, nth: int) -> Outcome:
    """Let the nth call fail, and look at what is left."""
    try:
        done = run(library, folder, call, nth)
    except subprocess.TimeoutExpired:
        return Outcome("hung", "", "")
    ended = {0: "done", 3: "refused"}.get(done.returncode, f"exit code {done.returncode}")
    said = (done.stdout or done.stderr).strip().splitlines()
    return Outcome(ended, said[-1] if said else "", wrong(folder))


def main() -> None:
    """All calls, one after the other."""
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory(prefix="triptych-eio-") as scratch:
        home = Path(scratch)
        library = build(home)
        if library is None:
            sys.exit("There is no C compiler.")
        for call in CALLS:
            total, counted = number_of(library, home, call), Counter[str]()
            for nth in range(1, total + 1, step):
                found = outcome(library, home / "workspace", call, nth)
                shutil.rmtree(home / "workspace", ignore_errors=True)
                counted[found.ended if not found.wrong else f"{found.ended}, then wrong"] += 1
                if found.wrong or found.ended not in ("done", "refused"):
                    print(f"{call} {nth}: {found}", flush=True)
            print(f"{call}: {total} calls; {dict(counted)}", flush=True)


if __name__ == "__main__":
    main()
