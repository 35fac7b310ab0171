"""Speeds that were measured on this computer, kept with the workspace: one per model, valid for the very files it was measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.workspace import Workspace

SETTING = "model_benchmarks"


@dataclass(frozen=True, slots=True)
class Speed:
    """Documents and queries encoded a second (cross-encoders: pairs a second, and queries with 50 candidates each), and on what."""

    fingerprint: str
    provider: str
    threads: int
    documents_per_second: float
    queries_per_second: float
    measured_at: str


def keep(
    workspace: Workspace,
    name: str,
    *,
    fingerprint: str,
    provider: str,
    threads: int,
    documents_per_second: float,
    queries_per_second: float,
) -> Speed:
    """Remember what was measured just now, instead of what was measured before."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    speed = Speed(fingerprint, provider, threads, documents_per_second, queries_per_second, now)
    workspace.set_setting(SETTING, {**_stored(workspace), name: asdict(speed)})
    return speed


def speed_of(workspace: Workspace, name: str, fingerprint: str) -> Speed | None:
    """What was measured with these files; None where nothing was, or with others of the same name."""
    found = _stored(workspace).get(name)
    try:
        speed = Speed(**found) if isinstance(found, Mapping) else None
    except TypeError:  # of another version of the program
        return None
    return speed if speed is not None and speed.fingerprint == fingerprint else None


def _stored(workspace: Workspace) -> dict[str, Any]:
    found = workspace.setting(SETTING, {})
    return dict(found) if isinstance(found, Mapping) else {}
