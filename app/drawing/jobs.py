"""The job table: progress, rate, time left, controls, and what was skipped and why."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format, tables
from app.drawing.controls import button, icon_button
from app.drawing.html import classes, el, join
from app.drawing.messages import error_box
from app.results.search import DELETED, JobView, RejectionView
from engine.jobs.base import kind_of

ACTIVE = ("queued", "running", "paused", "interrupted")
WORDS = {
    "queued": "Waiting",
    "running": "Running",
    "paused": "Paused",
    "interrupted": "Interrupted",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
WISHES = {"cancel": "Stopping…", "pause": "Pausing…", "stop": "Stopping…"}
"""What a running job is told to do, until it comes to it."""
COUNTS = (
    ("added", "added"),
    ("changed", "changed"),
    ("unchanged", "unchanged"),
    ("duplicate", "repeated"),
    ("rejected", "skipped"),
)


def table(jobs: Sequence[JobView], *, read_only: bool, page: str = "library") -> Markup:
    """All jobs, newest first, on this page."""
    if not jobs:
        return el(
            "p",
            "No jobs yet. Adding documents and building indexes show up here, and go on when this page is closed.",
            class_="muted",
        )
    return el("ul", [_job(job, read_only, page) for job in jobs], class_="jobs")


def _job(job: JobView, read_only: bool, page: str) -> Markup:
    active = job.status in ACTIVE
    share = min(100.0, 100 * job.done / job.total) if job.total else None
    rejected = job.counts.get("rejected", 0)
    return el(
        "li",
        el(
            "div",
            el("span", WISHES.get(job.wish) or WORDS.get(job.status, job.status), class_=f"job-status j-{job.status}"),
            _label(job, page),
            el("span", job.collection, class_="chip", dir="auto") if job.collection else None,
            el("span", class_="grow"),
            None if read_only else _controls(job),
            class_="job-head",
        ),
        el(
            "div",
            el("i", style=f"width:{share or 0:.2f}%"),
            class_=classes("meter", "meter-idle" if share is None and job.status == "running" else ""),
            role="progressbar",
            aria_label=job.label,
            aria_valuenow=None if share is None else f"{share:.0f}",
            aria_valuemin="0",
            aria_valuemax="100",
        )
        if active
        else None,
        el("div", _facts(job, share), class_="job-facts"),
        error_box("Job", job.error) if job.error else None,
        _skipped(job.job_id, rejected) if rejected else None,
        class_=f"job is-{job.status}",
        data_key=job.job_id,
        data_job=job.job_id,
        data_status=job.status,
    )


def _label(job: JobView, page: str) -> Markup:
    """What it does; where another page shows it, the way there."""
    shown = kind_of(job.kind).page
    if shown in (page, "library") or job.collection == DELETED:
        return el("span", job.label, class_="job-label", dir="auto", title=job.label)
    return el(
        "button", job.label, type="button", class_="job-label", dir="auto", title=job.label, data_action="go", data_page=shown, data_job=job.job_id
    )  # fmt: skip


def _controls(job: JobView) -> list[Markup]:
    controls, resumable = [], kind_of(job.kind).resumable
    if resumable and job.status in ("running", "queued") and not job.wish:
        controls.append(icon_button("Pause", "job-pause", "pause", job=job.job_id))
    if resumable and job.status in ("paused", "interrupted"):
        controls.append(icon_button("Resume", "job-resume", "play", job=job.job_id))
    if resumable and job.status == "failed":
        controls.append(icon_button("Try again where it stopped", "job-resume", "play", job=job.job_id))
    if job.status in ACTIVE and job.wish not in ("cancel", "stop"):
        controls.append(icon_button("Cancel; what was committed stays", "job-cancel", "close", job=job.job_id))
    return controls


def _facts(job: JobView, share: float | None) -> list[Markup]:
    facts: list[Markup] = []
    if job.status in ACTIVE:
        told = (
            [f"{job.done:,} of {job.total:,} {job.unit}"]
            if job.total
            else [f"{job.done:,} {job.unit}"] * bool(job.done)
        )
        told += [f"{share:.0f}%"] if share is not None else []
        facts.append(el("span", el("b", job.phase or "starting"), [f" · {one}" for one in told]))
        if job.rate and job.status == "running":
            facts.append(
                el("span", f"{job.rate:,.0f} {job.unit}/s" if job.rate >= 10 else f"{job.rate:.1f} {job.unit}/s")
            )
        if job.eta_seconds is not None and job.status == "running":
            facts.append(el("span", f"about {format.duration(job.eta_seconds)} left"))
    elif job.finished_at:
        facts.append(el("time", _when(job.finished_at), datetime=job.finished_at, class_="muted"))
    for key, word in COUNTS:
        number = job.counts.get(key, 0)
        if number:
            facts.append(el("span", el("b", format.count(number)), f" {word}", class_=f"count-{key}"))
    return facts


def _when(stamp: str) -> str:
    return stamp.replace("T", " ")[:16]


def _skipped(job_id: str, rejected: int) -> Markup:
    return el(
        "details",
        el("summary", f"{format.plural(rejected, 'row')} skipped: see which and why"),
        el("div", el("p", "Loading…", class_="muted"), id=f"tp-rejected-{job_id}", data_keep=True),
        class_="skipped",
        data_key=f"skipped-{job_id}",
        data_toggle="rejections",
        data_job=job_id,
    )


def rejections(job_id: str, rows: Sequence[RejectionView], offset: int, total: int) -> Markup:
    """The skipped rows with place and reason."""
    if not rows:
        return el("p", "Nothing further.", class_="muted")
    last = offset + len(rows)
    cells = [
        el(
            "tr",
            el("td", row.place, dir="auto"),
            el("td", row.reason, dir="auto"),
            el("td", el("code", format.shorten(row.excerpt, 160)) if row.excerpt else None, dir="auto"),
        )
        for row in rows
    ]
    return join(
        tables.table(("Where", "Why", "What stood there"), cells),
        el(
            "div",
            button("Previous", "rejections", look="quiet", job=job_id, offset=max(0, offset - 50)) if offset else None,
            el("span", f"{offset + 1}–{last} of {total:,}", class_="muted small"),
            button("Next", "rejections", look="quiet", job=job_id, offset=last) if last < total else None,
            button("CSV", "export-rejections", glyph="download", look="quiet", job=job_id),
            class_="row",
        ),
    )
