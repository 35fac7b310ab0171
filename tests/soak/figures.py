"""What is counted and measured meanwhile, the bounds that it must keep, and the table of it. Nothing here grows with the time it runs."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

MOST_EXAMPLES = 5
MOST_TIMES = 20_000
MOST_SAMPLES = 5_000
JUDGED_MINUTES = 8.0
"""Of a shorter stretch a slope says more about warming up than about leaks, and it is not judged."""
RSS_GROWTH, RSS_SLACK = 1.10, 50 * 2**20
"""In the stretch without kills: the median of its last third may be so many times, and so many bytes, above that of its first."""
DISK_GROWTH, DISK_SLACK = 1.5, 32 * 2**20
"""In the whole time: the same for the workspace's bytes. What is deleted leaves room that is used again, not a smaller file."""


class Figures:
    """Counters and samples; any thread may add to them."""

    def __init__(self, minutes: float) -> None:
        self.started = time.monotonic()
        self.seconds = 60 * minutes
        self.kills: Counter[str] = Counter()
        self.recoveries: deque[float] = deque(maxlen=MOST_SAMPLES)
        self.checked: Counter[str] = Counter()
        self.wrong: dict[str, list[str]] = {}
        self._wrongs: Counter[str] = Counter()
        self._done: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._searches: tuple[deque[float], ...] = tuple(deque(maxlen=MOST_TIMES) for _ in range(3))
        self._rss: deque[tuple[float, bool, int]] = deque(maxlen=MOST_SAMPLES)
        self._disk: deque[tuple[float, int, int, int]] = deque(maxlen=MOST_SAMPLES)
        self._set_aside = 0
        self._lock = threading.Lock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def calm(self) -> bool:
        """Whether this is the middle third of the time, in which nothing is killed, so that one process grows old enough to show leaks."""
        return 1 / 3 <= self.elapsed() / self.seconds < 2 / 3

    # adding

    def count(self, kind: str, outcome: str, reason: str = "") -> None:
        """An operation ended: "done", "waiting", "busy", "failed" for a reason, or "cut off"."""
        with self._lock:
            self._done[kind, outcome] += 1
            if reason and (len(self._reasons) < 200 or reason in self._reasons):
                self._reasons[f"{kind}: {reason}"[:300]] += 1

    def fault(self, kind: str, example: str) -> None:
        """Something that must not happen. Only the first few of a kind are kept, all are counted."""
        with self._lock:
            self._wrongs[kind] += 1
            kept = self.wrong.setdefault(kind, [])
            if len(kept) < MOST_EXAMPLES:
                kept.append(f"[{self.elapsed():.0f} s] {example}")
                print(f"WRONG  {kind}: {kept[-1][:600]}", flush=True)

    def searched(self, seconds: float) -> None:
        """How long a search took, with its way there and back."""
        third = min(2, max(0, int(3 * self.elapsed() / self.seconds)))
        with self._lock:
            self._searches[third].append(seconds)

    def weigh(self, rss: int) -> None:
        """Bytes of memory of the server now."""
        if rss:
            with self._lock:
                self._rss.append((self.elapsed(), self.calm(), rss))

    def measure(self, folder: Path, documents: int, size: int) -> None:
        """The workspace's bytes now, beside what is alive in it."""
        with self._lock:
            self._disk.append((self.elapsed(), disk_used(folder), documents, size))
            self._set_aside = disk_used(folder / "quarantine")

    # telling

    def line(self, queue: int) -> str:
        """One line of how it stands."""
        with self._lock:
            done = sum(n for (_, outcome), n in self._done.items() if outcome == "done")
            rss = self._rss[-1][2] if self._rss else 0
            _, disk, documents, size = self._disk[-1] if self._disk else (0, 0, 0, 0)
            times = [one for third in self._searches for one in list(third)[-200:]]
        return (
            f"{self.elapsed() / 60:5.1f} min  {done:,} operations, {sum(self.kills.values())} kills, {sum(self._wrongs.values())} wrong; "
            f"{documents:,} documents ({size / 1e6:.1f} MB) in {disk / 1e6:.0f} MB on disk; memory {rss / 2**20:.0f} MiB; "
            f"search p50 {1000 * quantile(times, 0.5):.0f} ms; {queue} jobs waiting"
        )

    def report(self) -> str:
        """The whole table."""
        kinds = sorted({kind for kind, _ in self._done})
        outcomes = ("done", "waiting", "busy", "failed", "cut off")
        rows: list[tuple[str, ...]] = [("operation", *outcomes)]
        rows += [(kind, *(f"{self._done[kind, outcome]:,}" for outcome in outcomes)) for kind in kinds]
        parts = [grid(rows)]
        if self._reasons:
            parts.append(grid([("times", "why not"), *((f"{n:,}", why) for why, n in self._reasons.most_common(25))]))
        parts.append(grid([("ended by", "times"), *((name, f"{n:,}") for name, n in sorted(self.kills.items()))]))
        slowest = max(self.recoveries, default=0.0)
        parts.append(f"recoveries: {len(self.recoveries)} without help, the slowest ready after {slowest:.1f} s")
        parts.append(
            "held against the model: " + ", ".join(f"{n:,} {what}" for what, n in sorted(self.checked.items()))
        )
        parts.append(grid([("search", "times", "p50 ms", "p95 ms"), *self._search_rows()]))
        parts.append(grid([("bytes", "third", "min", "median", "max", "of the text"), *self._size_rows()]))
        parts.append(f"set aside after kills, for a week: {self._set_aside / 1e6:.0f} MB")
        parts += self.slopes()
        parts += [
            f"WRONG  {kind}: {self._wrongs[kind]:,} times\n  " + "\n  ".join(kept) for kind, kept in self.wrong.items()
        ]
        parts.append(f"lost or wrong: {sum(self._wrongs.values())}")
        return "\n\n".join(parts)

    def _search_rows(self) -> list[tuple[str, ...]]:
        named = zip(("first third", "middle", "last third"), self._searches, strict=True)
        return [
            (name, f"{len(t):,}", f"{1000 * quantile(t, 0.5):.0f}", f"{1000 * quantile(t, 0.95):.0f}")
            for name, t in named
            if t
        ]

    def _size_rows(self) -> list[tuple[str, ...]]:
        rows = []
        for name, unit, sets in (
            ("memory", 2**20, thirds(self._memory())),
            ("disk", 10**6, thirds([one[1] for one in self._disk])),
        ):
            for third, values in zip(("first", "last"), sets, strict=True):
                if values:
                    spread = (min(values), statistics.median(values), max(values))
                    rows.append((name, third, *(f"{value / unit:.0f}" for value in spread), ""))
        for third, values in zip(
            ("first", "last"), thirds([one[1] / max(1, one[3]) for one in self._disk]), strict=True
        ):
            if values:
                rows.append(("disk", third, "", "", "", f"{statistics.median(values):.1f} x"))
        return rows

    def _memory(self) -> list[int]:
        return [rss for _, calm, rss in self._rss if calm]

    def slopes(self) -> list[str]:
        """The two growths; one beyond its bound counts as wrong."""
        told = []
        for name, minutes, values, growth, slack in (
            ("memory", self.seconds / 180, self._memory(), RSS_GROWTH, RSS_SLACK),
            ("disk", self.seconds / 60, [one[1] for one in self._disk], DISK_GROWTH, DISK_SLACK),
        ):
            first, last = thirds(values)
            if minutes < JUDGED_MINUTES or not first or not last:
                told.append(f"growth of {name}: not judged, {minutes:.1f} minutes are too short")
                continue
            before, after = statistics.median(first), statistics.median(last)
            bound = before * growth + slack
            told.append(
                f"growth of {name}: from {before / 1e6:.0f} to {after / 1e6:.0f} MB; at most {bound / 1e6:.0f} MB may be"
            )
            if after > bound and f"growth of {name}" not in self.wrong:
                self.fault(f"growth of {name}", told[-1])
        return told


def thirds(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The first and the last third of a series."""
    size = len(values) // 3
    return list(values[:size]), list(values[len(values) - size :])


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def grid(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows under their head, in columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def disk_used(folder: Path) -> int:
    """Bytes of all files below, but for quarantine, which keeps for a week what kills left half done; those that vanish meanwhile count nothing."""
    total = 0
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "quarantine"]
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:
                continue
    return total
