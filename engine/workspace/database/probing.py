"""Reading a database file that may be damaged, in a child process: what crashes or hangs there ends the child and
nothing else.

Run as `python -m engine.probing` by `Probe` and by nothing else. Requests and answers are lines of JSON; many rows go
into an Arrow file.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SECONDS = 300.0  # for one answer


class Unreadable(Exception):
    """One thing that could not be read. `died`: it ended the child, or the child gave no answer in time."""

    def __init__(self, reason: str, *, kind: str = "", died: bool = False) -> None:
        super().__init__(reason)
        self.kind, self.died = kind, died


class Probe:
    """Asks a database file, read-only; `database` may be changed. After a crash the next question gets a new child. Use
    it in a `with`."""

    def __init__(self, database: Path, seconds: float = SECONDS) -> None:
        self.database, self._seconds = database, seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[list[Any]]:
        """A few rows. Raises Unreadable."""
        found: list[list[Any]] = self._ask({"sql": sql, "params": list(params)})["rows"]
        return found

    def store(self, sql: str, file: Path) -> int:
        """Write the rows into an Arrow file; returns how many. Raises Unreadable."""
        return int(self._ask({"sql": sql, "params": [], "file": str(file)})["stored"])

    def recover(self, folder: Path) -> list[str]:
        """Open the workspace database in a folder for writing, with all that this repairs; returns what that was.
        Raises Unreadable."""
        return list(self._ask({"recover": str(folder)})["notices"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        child = self._started()
        assert child.stdin is not None
        line: bytes | None = None
        try:
            child.stdin.write(json.dumps({"database": str(self.database), **request}).encode() + b"\n")
            child.stdin.flush()
            line = self._lines.get(timeout=self._seconds)
        except queue.Empty:
            self.close()
            raise Unreadable(f"there was no answer in {self._seconds:.0f} s", died=True) from None
        except OSError:
            pass
        if line is None:
            code = child.wait()
            self.close()
            raise Unreadable(
                f"reading it ended the process ({'signal' if code < 0 else 'exit code'} {abs(code)})", died=True
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Unreadable(answer["error"], kind=answer["kind"])
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            root = str(Path(engine.__file__).resolve().parent.parent)
            path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
            self._lines = queue.Queue()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "engine.workspace.database.probing"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1"}, start_new_session=True,
            )  # fmt: skip
            threading.Thread(target=_pump, args=(self._child.stdout, self._lines), daemon=True).start()
        return self._child

    def turn(self, database: Path) -> None:
        """Ask another file from now on; the one before is let go of."""
        self.database = database
        if self._child is not None:
            self._ask({"close": True})

    def close(self) -> None:
        """End the child. Idempotent."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._child = None

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pump(pipe: IO[bytes] | None, lines: queue.Queue[bytes | None]) -> None:
    with suppress(OSError, ValueError):
        for line in pipe or ():
            lines.put(line)
    lines.put(None)


# in the child


def main() -> None:
    """Answer requests until there are no more."""
    pipe = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    connection: DuckDBPyConnection | None = None
    opened = ""
    answer: dict[str, Any]
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            if connection is not None and (request["database"] != opened or "sql" not in request):
                connection.close()
                connection = None
            if "close" in request:
                answer = {}
            elif "recover" in request:
                answer = {"notices": _recover(Path(request["recover"]))}
            else:
                opened = request["database"]
                connection = connection or _opened(opened)
                answer = _answered(connection, request)
        except BaseException as error:
            if connection is not None:  # a fatal error ends the instance, so each failure is followed by a new one
                with suppress(Exception):
                    connection.close()
                connection = None
            answer = {
                "error": str(error).splitlines()[0][:500] if str(error) else "no reason",
                "kind": type(error).__name__,
            }
        os.write(pipe, json.dumps(answer, default=str).encode() + b"\n")


def _opened(database: str) -> DuckDBPyConnection:
    from engine.workspace.database import recovery

    return recovery.connect(Path(database), read_only=True)


def _answered(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    from engine.workspace.database import arrow

    if "file" not in request:
        return {"rows": connection.execute(request["sql"], request["params"]).fetchall()}
    frame = arrow.read(connection, request["sql"])
    frame.write_ipc(request["file"])
    return {"stored": len(frame)}


def _recover(folder: Path) -> list[str]:
    from engine.workspace.database import recovery
    from engine.workspace.database.writelog import WriteLog

    connection, notices = recovery.open_writable(folder, WriteLog(folder))
    connection.close()
    return notices


if __name__ == "__main__":
    main()
