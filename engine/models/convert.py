"""Conversion in a process of its own: it holds gigabytes, may be stopped at any moment, and takes nothing with it when native code fails.

Run as `python -m engine.models.convert`, it reads the arguments of `export_model` as JSON from standard input and prints one JSON line for
each step of its progress, and for what it fails with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine import errors
from engine.errors import BadInput, TriptychError
from engine.scratch import scratch
from engine.types import Progress, ProgressSink

CHECK_SECONDS = 0.2
COMMAND = (sys.executable, "-m", "engine.models.convert")


def convert(
    source: Path, built: Path, options: Mapping[str, Any], progress: ProgressSink, check: Callable[[], None]
) -> None:
    """Export `source` to the new folder `built` in a child. `progress` hears how far it is; it and `check`, called often, may raise to stop it.

    options: further arguments of `export_model`, or of `round_model` where "task" is "round". Raises what that raises, and TriptychError where
    the child dies.
    """
    heard: list[dict[str, Any]] = []
    with (
        scratch("convert") as home,  # what a child that is killed leaves behind goes with it
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as trouble,
        subprocess.Popen(  # noqa: S603 - this interpreter, this module
            COMMAND,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=trouble, text=True, encoding="utf-8",
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TMPDIR": home, "TEMP": home, "TMP": home},
            cwd=Path(errors.__file__).resolve().parent.parent,
        ) as child,
    ):  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):  # a child that died at once is heard of below
            child.stdin.write(json.dumps({"source": str(source), "out_folder": str(built), **options}))
            child.stdin.close()
        listener = threading.Thread(
            target=lambda: heard.extend(json.loads(line) for line in child.stdout or ()), daemon=True
        )
        listener.start()
        told = 0
        try:
            while child.poll() is None or listener.is_alive() or told < len(heard):
                check()
                for message in heard[told:]:
                    told += 1
                    if "progress" in message:
                        progress(Progress(**message["progress"]))
                listener.join(CHECK_SECONDS)
        except BaseException:
            child.kill()
            raise
        failed = next((message for message in heard if "error" in message), None)
        if failed is not None:
            raise _error(str(failed["error"]), str(failed["message"]))
        if child.returncode:
            trouble.seek(0)
            last = trouble.read()[-500:].strip().splitlines()
            raise TriptychError(
                f"The conversion ended with {_ending(child.returncode)}{': ' + last[-1] if last else ''}. Nothing was added."
            )


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
    arguments = json.load(sys.stdin)
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is not for the parent

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=lines, flush=True)

    try:
        source, out = Path(arguments.pop("source")), Path(arguments.pop("out_folder"))
        _work(arguments.pop("task", "export"), source, out, arguments, lambda step: tell(progress=asdict(step)))
    except TriptychError as error:
        tell(error=type(error).__name__, message=str(error))
    except MemoryError:
        tell(error="StorageFull", message="There is not enough memory to convert this model here.")
    except OSError as error:
        tell(error="TriptychError", message=f"{error.filename or 'The system'}: {error.strerror or error}.")


def _work(task: str, source: Path, out: Path, arguments: dict[str, Any], progress: ProgressSink) -> None:
    if task == "round":
        from engine.models.rounding import round_model

        round_model(source, out, progress=progress, **arguments)
        return
    from engine.models.export import export_model

    export_model(source, out, say=lambda _: None, progress=progress, **arguments)


if __name__ == "__main__":
    main()
