"""Native work in a process of its own, with limits: what crashes, hangs or takes all memory there costs itself and
nothing else.

The parent starts `python -m engine.system.child` anew (it never forks), writes one JSON request to its standard input,
and reads one JSON line for each step of its progress, for its result, and for what it fails with. Larger things pass
through files whose names the request holds; nothing is pickled. The parent watches the clock and the memory, and kills
a child that goes beyond them; the child ends when its parent is gone.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import errors
from engine.errors import BadInput, TriptychError
from engine.system.scratch import scratch
from engine.types import Progress, ProgressSink, ignore_progress

CHECK_SECONDS = 0.1
COMMAND = (sys.executable, "-m", "engine.system.child")
TASKS = {
    "export": ("engine.export.convert", "export_task"),
    "round": ("engine.export.convert", "round_task"),
    "take": ("engine.export.trial", "take_task"),
    "try": ("engine.export.trial", "try_task"),
    "bench": ("engine.export.speed.bench", "bench_task"),
    "hnsw build": ("engine.indexes.stored.hnsw", "build_task"),
    "hnsw extend": ("engine.indexes.stored.hnsw", "extend_task"),
    "hnsw open": ("engine.indexes.stored.hnsw", "open_task"),
}
"""Module and function of each task: it is called with the request's other entries and a progress sink, and gives what
JSON can hold."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take. remedy: what to do about it, a sentence."""

    seconds: float
    memory_bytes: float
    remedy: str = ""


def run(
    what: str,
    request: Mapping[str, Any],
    limits: Limits,
    progress: ProgressSink = ignore_progress,
    check: Callable[[], None] = lambda: None,
    command: Sequence[str] = (),
) -> Any:
    """Do `request["task"]` in a child and return its result. `progress` and `check`, called often, may raise to stop
    it.

    what: the work and the file or model that it is done on, as an error names it. Raises the TriptychError that the
    task raises, BadInput where a limit is reached, and TriptychError where the child dies.
    """
    heard: list[dict[str, Any]] = []
    with (
        scratch("child") as home,  # what a child that is killed leaves behind goes with it
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as trouble,
        subprocess.Popen(  # noqa: S603 - this interpreter, this module
            command or COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=trouble,
            text=True,
            encoding="utf-8",
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "TMPDIR": home,
                "TEMP": home,
                "TMP": home,
            },
            cwd=Path(errors.__file__).resolve().parent.parent,
            start_new_session=True,  # Ctrl-C is for the parent
        ) as child,
    ):
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # a child that died at once is heard of below
            child.stdin.write(json.dumps({**request, "cpu_seconds": _cpu_seconds(limits), "parent": os.getpid()}))
            child.stdin.close()
        listener = threading.Thread(target=_listen, args=(child.stdout, heard), daemon=True)
        listener.start()
        try:
            _watch(child, listener, heard, what, limits, progress, check)
        except BaseException:
            child.kill()
            raise
        trouble.seek(0)
        return _outcome(heard, child.returncode, trouble.read()[-500:], what, limits)


def _listen(pipe: Any, heard: list[dict[str, Any]]) -> None:
    for line in pipe or ():
        with suppress(ValueError):  # a line that was cut with the process
            heard.append(json.loads(line))


def _watch(
    child: subprocess.Popen[str], listener: threading.Thread, heard: list[dict[str, Any]], what: str, limits: Limits,
    progress: ProgressSink, check: Callable[[], None],
) -> None:  # fmt: skip
    """Pass its progress on until it ends. Raises BadInput beyond a limit, and what `progress` and `check` raise."""
    told, until = 0, time.monotonic() + limits.seconds
    while child.poll() is None or listener.is_alive() or told < len(heard):
        check()
        for message in heard[told:]:
            told += 1
            if "progress" in message:
                progress(Progress(**message["progress"]))
        if child.poll() is None and time.monotonic() > until:
            raise BadInput(f"{what} took more than {limits.seconds:.0f} s and was stopped. {limits.remedy}".strip())
        if resident(child.pid) > limits.memory_bytes:
            gigabytes = limits.memory_bytes / 1e9
            raise BadInput(
                f"{what} needed more than {gigabytes:.1f} GB of memory and was stopped. {limits.remedy}".strip()
            )
        listener.join(CHECK_SECONDS)


def _outcome(heard: list[dict[str, Any]], code: int, words: str, what: str, limits: Limits) -> Any:
    failed = next((message for message in heard if "error" in message), None)
    if failed is not None:
        raise _error(str(failed["error"]), str(failed["message"]))
    if code:
        last = words.strip().splitlines()
        raise TriptychError(f"{what} failed: {_ending(code)}{': ' + last[-1] if last else ''}. {limits.remedy}".strip())
    return next((message["result"] for message in heard if "result" in message), None)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def _cpu_seconds(limits: Limits) -> int:
    """A last resort, should the parent be gone: all cores for twice the time."""
    return int(min(2 * limits.seconds * (os.cpu_count() or 1), 1e9)) + 5


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    return f"signal {name}" + (", probably for want of memory" if name == "SIGKILL" else "")


def _error(kind: str, message: str) -> TriptychError:
    known = getattr(errors, kind, None)
    return known(message) if isinstance(known, type) and issubclass(known, TriptychError) else BadInput(message)


def main() -> None:
    """The child."""
    request = json.load(sys.stdin)
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is not for the parent
    _limit(int(request.pop("cpu_seconds")))
    threading.Thread(target=_end_with_parent, args=(request.pop("parent"),), daemon=True).start()

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=lines, flush=True)

    task = request.pop("task")
    module, name = TASKS[task]
    try:
        tell(result=getattr(importlib.import_module(module), name)(request, lambda step: tell(progress=asdict(step))))
    except TriptychError as error:
        tell(error=type(error).__name__, message=str(error))
    except MemoryError:
        tell(error="StorageFull", message="There is not enough memory for this here.")
    except OSError as error:
        tell(error="TriptychError", message=f"{error.filename or 'The system'}: {error.strerror or error}.")


def _limit(cpu_seconds: int) -> None:
    """The limits that the system keeps, where it can."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(5)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
