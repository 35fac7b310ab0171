"""The one DuckDB connection of a workspace: a cursor per thread, one writer at a time, commits that say whether they
held."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from engine.errors import Cancelled, ReadOnly, TriptychError
from engine.system.permissions import tighten
from engine.workspace.database import arrow, recovery
from engine.workspace.database.writelog import Entry, WriteLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


T = TypeVar("T")
_PATIENCE = 5.0  # seconds that a reader waits for the writer before it opens the database again


class _Slot:
    """A thread's cursor; dies with the thread, and closes with the database."""

    __slots__ = ("__weakref__", "cursor", "epoch")

    def __init__(self, cursor: DuckDBPyConnection, epoch: int) -> None:
        self.cursor = cursor
        self.epoch = epoch


class Database:
    """Queries from any thread, writes one after the other. Every write is a transaction with a running number."""

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.folder = folder
        self.read_only = read_only
        self._log = WriteLog(folder)
        self._guard = threading.Lock()
        self._writer = threading.RLock()
        self._local = threading.local()
        self._slots: weakref.WeakSet[_Slot] = weakref.WeakSet()
        self._epoch = 0
        self._closed = False
        self._depth = 0
        self._writing_thread: int | None = None
        self._after: list[Callable[[], None]] = []
        self.barred: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        """Threads that may not write any more: workers that were left behind."""
        self.notices: list[str] = []
        self._connection: DuckDBPyConnection | None
        if read_only:
            self._connection = recovery.open_read_only(folder)
        else:
            self._connection, self.notices = recovery.open_writable(folder, self._log)

    # reading

    def cursor(self) -> DuckDBPyConnection:
        """This thread's cursor. A connection shared between threads mixes up their results."""
        slot: _Slot | None = getattr(self._local, "slot", None)
        if slot is None or slot.epoch != self._epoch:
            with self._guard:
                if self._closed:
                    raise TriptychError(f"The workspace {self.folder} is closed.")
                if self._connection is None:  # an earlier attempt to connect again failed
                    self._connection = recovery.connect(self.folder / recovery.DATABASE_NAME, read_only=self.read_only)
                slot = _Slot(self._connection.cursor(), self._epoch)
                self._slots.add(slot)
            self._local.slot = slot
        return slot.cursor

    def query(self, sql: str, params: Sequence[Any] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        """Rows as a polars frame. Values go through `?` parameters or `frames` (tables by name), never into the
        text."""

        def ask() -> pl.DataFrame:
            cursor = self.cursor()
            with arrow.lent(cursor, **frames):
                return arrow.read(cursor, sql, params)

        return self._asked(ask)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """A few rows as tuples; quicker than `query` for one."""
        return self._asked(lambda: list(self.cursor().execute(sql, list(params)).fetchall()))

    def _asked(self, ask: Callable[[], T]) -> T:
        """Ask, and once more when the database was, or has to be, opened again meanwhile; within a transaction there is
        no second try."""
        with self.translated("the query"):
            epoch = self._epoch
            try:
                return ask()
            except Exception as error:
                if self._closed or self._in_transaction() or not self._renewed(error, epoch):
                    raise
                return ask()

    def _in_transaction(self) -> bool:
        return self._writing_thread == threading.get_ident() or getattr(self._local, "reading", False)

    def _renewed(self, error: Exception, epoch: int) -> bool:
        """Whether there is a new connection after an error that ended the one of this thread."""
        import duckdb

        if isinstance(error, duckdb.ConnectionException):
            return epoch != self._epoch
        if not recovery.is_restart(error) or not self._writer.acquire(timeout=_PATIENCE):
            return False
        try:
            if epoch == self._epoch:
                self._reconnect()
        finally:
            self._writer.release()
        return True

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several queries of this thread that must see one state of the database."""
        import duckdb

        if self._in_transaction():
            yield
            return
        self._revive()
        with self.translated("the query"):
            cursor = self.cursor()
            cursor.begin()
            self._local.reading = True
            try:
                yield
            finally:
                self._local.reading = False
                with suppress(duckdb.Error):  # nothing was written; a lost connection has told its own error
                    cursor.rollback()

    # writing

    @contextmanager
    def write(self, what: str) -> Iterator[DuckDBPyConnection]:
        """One transaction: commits at the end of the `with`, rolls back on an error. Inside another one it joins it.

        `what` says in a few words what is written. Raises ReadOnly, StorageFull.
        """
        if self.read_only:
            raise ReadOnly(
                f"The workspace {self.folder} is open for reading only, so {what} is refused. Open it for writing."
            )
        with self._writer:
            if threading.current_thread() in self.barred:
                raise Cancelled(f"This work was ended before it came to {what}; nothing was written.")
            if self._depth:
                self._depth += 1
                try:
                    yield self.cursor()
                finally:
                    self._depth -= 1
                return
            self._revive()
            with self.translated(what):
                cursor = self.cursor()
                cursor.begin()
                self._depth, self._writing_thread = 1, threading.get_ident()
                try:
                    yield cursor
                    seq = int(
                        cursor.execute("UPDATE counters SET write_seq = write_seq + 1 RETURNING write_seq").fetchall()[
                            0
                        ][0]
                    )
                except BaseException:
                    self._roll_back(cursor)
                    raise
                finally:
                    self._depth, self._writing_thread = 0, None
                self._commit(cursor, seq)
                tighten(
                    self.folder / recovery.WAL_NAME
                )  # the database makes it anew after each checkpoint, with its own rights
            self._log.append(Entry(seq, what))
            hooks, self._after = self._after, []
            for hook in hooks:
                hook()

    def _revive(self) -> None:
        """Before a transaction: open the database again where an earlier error has ended the instance."""
        self.rows("SELECT 1")

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` once the running transaction has committed; forget it when it rolls back."""
        self._after.append(hook)

    def execute(self, what: str, sql: str, params: Sequence[Any] = ()) -> int:
        """One writing statement in its own transaction (or the running one); returns the number of rows it touched."""
        with self.write(what) as cursor:
            rows = cursor.execute(sql, list(params)).fetchall()
            return int(rows[0][0]) if rows and rows[0] and isinstance(rows[0][0], int) else 0

    def _commit(self, cursor: DuckDBPyConnection, seq: int) -> None:
        import duckdb

        try:
            cursor.commit()
        except duckdb.Error:
            # On a full disk a commit can report an error and be durable all the same, so the file is asked.
            self._reconnect()
            if self.rows("SELECT write_seq FROM counters")[0][0] != seq:
                self._after = []
                raise

    def _roll_back(self, cursor: DuckDBPyConnection) -> None:
        import duckdb

        self._after = []
        try:
            cursor.rollback()
        except duckdb.Error:
            self._reconnect()  # a fatal error invalidates the whole instance

    def _reconnect(self) -> None:
        """Close the instance with all its cursors and open the file again. Raises duckdb.Error."""
        with self._guard:
            self._close_cursors()
            self._connection = recovery.connect(self.folder / recovery.DATABASE_NAME, read_only=self.read_only)

    def _close_cursors(self) -> None:
        self._epoch += 1
        for slot in list(self._slots):
            slot.cursor.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn a damaged file, a disk that is full or fails, a memory limit or a text that is no Unicode, met inside
        the `with`, into an error that names `doing` and the remedy. What is a fault of ours stays as it is."""
        import duckdb

        try:
            yield
        except (duckdb.Error, OSError, UnicodeEncodeError, pl.exceptions.ComputeError) as error:
            known = recovery.translate(error, doing)
            if known is None and recovery.is_damage(error):
                known = recovery.damage(self.folder, error, doing)
            if known is None and (recovery.is_restart(error) or isinstance(error, duckdb.ConnectionException)):
                known = recovery.ended(error, doing)
            if known is None:
                raise
            raise known from error

    def close(self) -> None:
        """Close every cursor and the connection, and note that the run ended in order. Idempotent."""
        with self._writer, self._guard:
            if self._closed:
                return
            self._closed, seq = True, None
            if not self.read_only and self._connection is not None:
                with suppress(Exception):
                    seq = int(self._connection.execute("SELECT write_seq FROM counters").fetchall()[0][0])
            self._close_cursors()
            if seq is not None and not (self.folder / recovery.WAL_NAME).exists():
                self._log.rewrite([Entry(seq, "closed", clean=True)])
