"""Reading in a child process: a file that crashes, hangs or unfolds costs itself and nothing else.

One child per job reads file after file. The parent counts the clock, names the file that killed a child, and starts
another child for the rest. The pipe gives back-pressure: a slow consumer slows the child down.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import orjson

import engine
from engine.errors import Cancelled, TriptychError
from engine.readers.base import ColumnGuess, Preview, ReaderOptions
from engine.readers.sources import Source, expand
from engine.readers.wire import Batch, Event, FileFinished, FileStarted, decode_items
from engine.system.scratch import scratch as scratch_folder
from engine.types import Item, Rejected

__all__ = [
    "Batch",
    "Event",
    "FileFinished",
    "FileStarted",
    "Source",
    "expand",
    "preview_in_child",
    "read_in_child",
]

MEMORY_BYTES = 2_000_000_000
SECONDS_PER_FILE = 120.0
_POLL_SECONDS = 0.2
_START_SECONDS = 60.0  # for the child to start, and to find its next file


class _OvertimeError(Exception):
    """The child has taken longer than its file may."""


def read_in_child(
    paths: Iterable[Path | str | Source],
    options: ReaderOptions | None = None,
    *,
    memory_bytes: int = MEMORY_BYTES,
    seconds_per_file: float = SECONDS_PER_FILE,
    should_stop: Callable[[], bool] = lambda: False,
    skip: Collection[str] = (),
) -> Iterator[Event]:
    """Yield FileStarted, Batch…, FileFinished for every source in `paths`, in order; files labelled in `skip` are left out.

    A file may take `seconds_per_file` and one second more per megabyte, of which only the time spent waiting for the
    child counts. A file that kills its child or takes too long ends with a Rejected that says so, and the next child
    goes on after it. Raises BadInput for a missing path, Cancelled when `should_stop` says so.
    """
    options = options or ReaderOptions()
    options.check_columns()
    sources = _sources(paths)
    finished, failed = set(skip), set[str]()
    with scratch_folder("read") as scratch:
        idle_deaths = 0
        while True:
            request = _request(
                sources, options, memory_bytes, seconds_per_file, scratch=scratch, finished=finished, failed=failed
            )
            run = _Run(request, seconds_per_file, should_stop)
            progressed = False
            for event in run.events():
                progressed = True
                if isinstance(event, FileFinished):
                    finished.add(event.path)
                yield event
            if run.ended:
                return
            if run.current is not None:
                failed.add(run.current.path)
                finished.add(run.current.path)
                yield Batch(run.current.path, (Rejected(run.current.path, run.cause(memory_bytes, seconds_per_file)),))
                yield run.tally(rejected=1)
            idle_deaths = 0 if progressed else idle_deaths + 1
            if idle_deaths == 2:
                raise TriptychError(f"The process that reads files does not start: {run.last_words() or run.death()}.")


def preview_in_child(
    paths: Iterable[Path | str | Source],
    options: ReaderOptions | None = None,
    n: int = 5,
    *,
    most: int = 10,
    memory_bytes: int = MEMORY_BYTES,
    seconds_per_file: float = 20.0,
) -> tuple[Preview, ...]:
    """What the first `most` sources in `paths` would become, `n` items each; parsed in a child.

    A source that cannot be read has one Rejected as its items. Raises BadInput for a path that does not exist.
    """
    options = options or ReaderOptions()
    options.check_columns()
    sources = _sources(paths)[:most]
    previews: list[Preview] = []
    with scratch_folder("read") as scratch:
        while len(previews) < len(sources):
            rest = sources[len(previews) :]
            request = _request(rest, options, memory_bytes, seconds_per_file, scratch=scratch) | {"preview": n}
            run = _Run(request, seconds_per_file)
            previews.extend(_previews(run, rest))
            if not run.ended:
                now = sources[len(previews)]
                cause = Rejected(now.label, run.cause(memory_bytes, seconds_per_file))
                previews.append(Preview(now.label, now.format, "", (cause,), (), ()))
    return tuple(previews)


def _previews(run: _Run, sources: Sequence[Source]) -> Iterator[Preview]:
    """The previews that one child gives before it ends."""
    items: tuple[Item, ...] = ()
    coming = iter(sources)
    for line in run.lines():
        if line[0] == "start":
            run.begin(FileStarted(line[1], line[2], line[3]))
        elif line[0] == "items":
            items = decode_items(line[1])
        elif line[0] == "preview":
            now = next(coming)
            guesses = tuple(ColumnGuess(*guess) for guess in line[2])
            yield Preview(now.label, now.format, line[1], items, guesses, tuple(line[3]))


def _sources(paths: Iterable[Path | str | Source]) -> list[Source]:
    given = list(paths)
    ready = [one for one in given if isinstance(one, Source)]
    return ready if len(ready) == len(given) else [*ready, *expand(one for one in given if not isinstance(one, Source))]


def _request(
    sources: Sequence[Source],
    options: ReaderOptions,
    memory_bytes: int,
    seconds: float,
    *,
    scratch: str,
    finished: Collection[str] = (),
    failed: Collection[str] = (),
) -> dict[str, Any]:
    return {
        "sources": [asdict(source) | {"path": str(source.path.absolute())} for source in sources],
        "numbers": {source.label: number for number, source in enumerate(sources)},
        "options": options.model_dump(),
        "memory_bytes": memory_bytes,
        "seconds": seconds,
        "scratch": scratch,
        "finished": sorted(finished),
        "failed": sorted(failed),
        "preview": 0,
    }


class _Run:
    """One child and what became of it."""

    def __init__(
        self, request: dict[str, Any], seconds: float, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.current: FileStarted | None = None
        self.ended = False
        self._request, self._seconds, self._should_stop = request, seconds, should_stop
        self._counts: Counter[str] = Counter()
        self._overtime = False
        self._words = ""
        self._code: int | None = None
        self._left = _START_SECONDS

    def events(self) -> Iterator[Event]:
        """Events until the child ends, one way or the other."""
        for line in self.lines():
            kind = line[0]
            if kind == "start":
                self.begin(FileStarted(line[1], line[2], line[3]))
                yield FileStarted(line[1], line[2], line[3])
            elif kind == "items" and self.current is not None:
                batch = Batch(self.current.path, decode_items(line[1]), line[2])
                for item in batch.items:
                    self._counts[type(item).__name__] += 1
                yield batch
            elif kind == "finish":
                done = self.tally(cleaned=line[3])
                self.current = None
                self._left = _START_SECONDS
                yield done

    def begin(self, started: FileStarted) -> None:
        """Start the clock of a file."""
        self.current = started
        self._left = self._seconds + started.bytes / 1e6
        self._counts.clear()

    def tally(self, *, rejected: int = 0, cleaned: dict[str, int] | None = None) -> FileFinished:
        """The counts of the current file so far."""
        counts = self._counts
        path = self.current.path if self.current else ""
        return FileFinished(
            path, counts["Record"], counts["Rejected"] + rejected, counts["Query"], counts["Judgment"], cleaned or {}
        )

    def lines(self) -> Iterator[list[Any]]:
        """Decoded lines from a new child. Its end, by itself or by force, is recorded; closing the iterator kills it."""
        with tempfile.TemporaryFile() as errors:
            child = _spawn(errors, self._request["scratch"])
            inbox: queue.Queue[bytes | None] = queue.Queue(maxsize=4)
            closing = threading.Event()
            pump = threading.Thread(target=_pump, args=(child.stdout, inbox, closing), daemon=True)
            pump.start()
            try:
                _send_request(child, self._request)
                while (line := self._next(inbox)) is not None:
                    decoded = orjson.loads(line)
                    if decoded[0] == "end":
                        self.ended = True
                        break
                    yield decoded
            except _OvertimeError:
                self._overtime = True
            finally:
                closing.set()
                if not self.ended and not self._overtime and child.stdout is not None:
                    _wait_briefly(child)
                child.kill()
                self._code = child.wait()
                pump.join(timeout=5)
                for pipe in (child.stdin, child.stdout):
                    if pipe is not None:
                        _close(pipe)
                size = errors.seek(0, os.SEEK_END)
                errors.seek(0)
                said = errors.read(2000)  # the reason may stand before a long trace of calls
                errors.seek(max(len(said), size - 2000))
                self._words = (said + errors.read()).decode("utf-8", "replace")

    def _next(self, inbox: queue.Queue[bytes | None]) -> bytes | None:
        """The next line, None at the end. Only waiting counts: time that the consumer takes is not the file's."""
        while True:
            if self._should_stop():
                raise Cancelled("Reading was cancelled.")
            began = time.monotonic()
            try:
                return inbox.get(timeout=max(0.01, min(_POLL_SECONDS, self._left)))
            except queue.Empty:
                if self._left <= 0:
                    raise _OvertimeError from None
            finally:
                self._left -= time.monotonic() - began

    def cause(self, memory_bytes: int, seconds: float) -> str:
        """Why the current file has no good end."""
        if self._overtime:
            allowed = seconds + (self.current.bytes / 1e6 if self.current else 0)
            return f"took more than {allowed:.0f} s"
        memory_words = ("memory allocation", "bad_alloc", "MemoryError", "Cannot allocate", "out of memory", "OOM")
        # pdfium ends for want of memory without a word; what else it meets ends in other ways.
        silent = (
            self.current is not None and self.current.format == "pdf" and self._code == -6 and not self._words.strip()
        )
        if silent or any(word in self._words for word in memory_words):
            return f"needed more than {memory_bytes / 1e9:g} GB of memory"
        return f"failed: {self.death()}"

    def death(self) -> str:
        """How the child ended, in words."""
        code = self._code or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        """The last line that the child wrote to standard error."""
        lines = self._words.strip().splitlines()
        return lines[-1][:300] if lines else ""


def _spawn(errors: IO[bytes], scratch: str) -> subprocess.Popen[bytes]:
    root = str(Path(engine.__file__).resolve().parent.parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part),
        "PYTHONUTF8": "1",
        "TMPDIR": scratch,  # what a killed child leaves behind goes with the job's own folder
        # Threads cost address space, of which the child has little, and the machine has other work.
        "POLARS_MAX_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "engine.readers.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the parent, which then ends the child
    )


def _send_request(child: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
    # json and not orjson: a file name that is not UTF-8 survives as escaped surrogates.
    if child.stdin is not None:
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            return  # it died at once; the end of its output says so


def _pump(pipe: IO[bytes] | None, inbox: queue.Queue[bytes | None], closing: threading.Event) -> None:
    """Move lines from the pipe to the queue, then None; gives up when the reader of the queue is gone."""
    try:
        for line in pipe or ():
            if not _put(inbox, line, closing):
                return
    except (OSError, ValueError):
        pass  # the pipe was closed under it: the same as its end
    _put(inbox, None, closing)


def _put(inbox: queue.Queue[bytes | None], line: bytes | None, closing: threading.Event) -> bool:
    while not closing.is_set():
        try:
            inbox.put(line, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False


def _wait_briefly(child: subprocess.Popen[bytes]) -> None:
    """Let a child that is already dying leave its own exit code; one that is alive is killed next."""
    try:
        child.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        return  # unsent bytes to a dead child
