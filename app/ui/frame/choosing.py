"""What the pages share that let one choose, start a job, and look at its result: lists in the address, and the job it names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from app.results.search import JobView
from app.ui.frame import common
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState
from engine.errors import NotFound

NONE = "-"
"""Stands in the address where everything of a list was unchecked, which is not the same as leaving it open."""
OVER = ("done", "cancelled", "failed")


def job_of(ui: Ui, state: UiState, kinds: Collection[str]) -> JobView | None:
    """The job of the address; without one, the latest that has not ended. Other kinds and other collections are not of this page."""

    def mine(job: JobView) -> bool:
        return job.kind in kinds and job.collection == state.collection

    if not state.option("job"):
        listed = ui.services.jobs(common.JOBS_SHOWN)
        return next((job for job in listed if mine(job) and job.status not in OVER), None)
    try:
        named = ui.services.job(state.option("job"))
    except NotFound:
        return None
    return named if mine(named) else None


def settled(ui: Ui, state: UiState, kinds: Mapping[str, str], newest: Callable[[], str]) -> UiState:
    """The state with the result that it is about: that of a finished job, else the newest one.

    `kinds` says in which option of the address the result of each kind of job stands.
    """
    job = job_of(ui, state, kinds)
    if job is not None and job.result and job.status == "done":
        state = state.with_options(**{"job": "", kinds[job.kind]: job.result})
    elif state.option("job") and job is None:
        state = state.with_options(job="")
    if state.collection and not state.option("run") and not state.option("job"):
        state = state.with_options(run=newest())
    if job is not None and job.status not in OVER:
        # Found again after another page: its end will be noticed by its name.
        state = state.with_options(job=job.job_id)
    return state


def toggled(chosen: Sequence[str], value: str) -> list[str]:
    """The list with this value checked or unchecked, as the address keeps it."""
    left = [one for one in chosen if one != value]
    return (left if value in chosen else [*chosen, value]) or [NONE]


def checked(values: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    """What the address says is checked; where it says nothing, what is usual."""
    return tuple(name for name in values or usual if name != NONE)
