"""What the pages share that let one choose, start a job, and look at its result: lists in the address, and the job it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.results.search import JobView
from app.ui.frame import common
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState
from engine.errors import NotFound
from engine.jobs.base import kind_of

NONE = "-"
"""Stands in the address where everything of a list was unchecked, which is not the same as leaving it open."""
OVER = ("done", "cancelled", "failed")


def job_of(ui: Ui, state: UiState) -> JobView | None:
    """The job of the address; without one, the latest that has not ended. Those of other pages and other collections are not meant."""

    def mine(job: JobView) -> bool:
        return kind_of(job.kind).page == state.page and job.collection == state.collection

    if not state.option("job"):
        listed = ui.services.jobs(common.JOBS_SHOWN)
        return next((job for job in listed if mine(job) and job.status not in OVER), None)
    try:
        named = ui.services.job(state.option("job"))
    except NotFound:
        return None
    return named if mine(named) else None


def settled(ui: Ui, state: UiState, newest: Callable[[], str]) -> UiState:
    """The state with the result that it is about: that of a finished job, in the option that its kind names, else the newest one."""
    job = job_of(ui, state)
    if job is not None and job.result and job.status == "done":
        option = kind_of(job.kind).option
        state = state.with_options(**{"job": "", **({option: job.result} if option else {})})
    elif state.option("job") and job is None:
        state = state.with_options(job="")
    if state.collection and not state.option("run") and not state.option("job"):
        state = state.with_options(run=newest())
    if job is not None and job.status not in OVER:
        # Found again after another page: its end will be noticed by its name.
        state = state.with_options(job=job.job_id)
    return state


def shown_at(state: UiState, job: JobView) -> UiState:
    """The state in which the page of a job shows it: by what it made, once it is done."""
    kind = kind_of(job.kind)
    made = {kind.option: job.result} if job.status == "done" and kind.option and job.result else {"job": job.job_id}
    return state.with_(collection=job.collection or state.collection).with_options(**kind.address, **made)


def toggled(chosen: Sequence[str], value: str) -> list[str]:
    """The list with this value checked or unchecked, as the address keeps it."""
    left = [one for one in chosen if one != value]
    return (left if value in chosen else [*chosen, value]) or [NONE]


def checked(values: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    """What the address says is checked; where it says nothing, what is usual."""
    return tuple(name for name in values or usual if name != NONE)
