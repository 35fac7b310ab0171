"""`triptych add`, `index` and `jobs`: what fills a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, assignments, command, printable, the_collection
from app.cli.progress import counted, follow, report, told
from engine.errors import BadInput, NotFound, WorkspaceInUse

if TYPE_CHECKING:
    from app.results.search import IndexView, JobView, Preview, RejectionView
    from app.verbs.services import Services


Duplicates = Literal["replace", "keep", "error"]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, or its first characters.")]


PLACE = 20
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(add)
    command(app)(index)
    jobs = typer.Typer(help="See, resume and cancel the jobs that add and index documents.", no_args_is_help=True)
    app.add_typer(jobs, name="jobs")
    command(jobs, "list")(jobs_list)
    command(jobs, "show")(jobs_show)
    command(jobs, "resume")(jobs_resume)
    command(jobs, "cancel")(jobs_cancel)


def add(
    run: Run,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, folders or zip archives.")],
    collection: CollectionOption = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN", help="Read a field from this column, e.g. title=Titel. May be given again."
        ),
    ] = None,
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="Which document counts when an id comes twice in what is added: the last (replace), the first (keep), or the first with the others reported as skipped (error)."
        ),
    ] = "replace",
    index: Annotated[bool, typer.Option("--index/--no-index", help="Update the indexes afterwards.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first records and the columns they come from; store nothing.")
    ] = False,
) -> None:
    """Add documents to a collection, which is made if absent.

    Example: triptych add papers.bib notes/ --collection thesis
    """
    columns = dict(assignments(column or (), "--column"))
    names = [str(path) for path in paths]
    if dry_run:
        previews = _preview(names, columns)
        run.emit({"previews": previews}, lambda out: _show_previews(out, previews, columns))
        return
    with run.writing() as services:
        if collection is None and not services.collections():
            raise BadInput("Give the new collection a name: --collection NAME.")
        target = collection if collection is not None else the_collection(services, None)
        job = services.add(names, target, columns=columns, duplicates=duplicates, index=index)
        report(run, services, follow(run, services, job))


def index(
    run: Run,
    collection: CollectionOption = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", "-p", metavar="NAME", help="Only what this pipeline reads. May be given again."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which indexes would be built or updated; build nothing.")
    ] = False,
) -> None:
    """Build or update the indexes of a collection; only new documents are encoded.

    Example: triptych index --collection thesis --pipeline BM25
    """
    if dry_run:
        with run.reading() as services:
            planned = _planned(services, the_collection(services, collection), pipeline)
            run.emit({"indexes": planned}, lambda out: _show_planned(out, planned))
        return
    with run.writing() as services:
        target = the_collection(services, collection)
        job = services.index(target, services.needed_indexes(pipeline) if pipeline else None)
        report(run, services, follow(run, services, job))


def jobs_list(
    run: Run,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
) -> None:
    """List the latest jobs.

    Example: triptych jobs list --limit 5
    """
    try:
        with run.reading() as services:
            found = services.jobs(limit)
    except WorkspaceInUse:
        found = _elsewhere(run)[:limit]
        run.notify("Another process has the workspace open; these are its unfinished jobs.")
    run.emit({"jobs": found}, lambda out: _show_jobs(out, found))


def jobs_show(run: Run, job: JobArgument) -> None:
    """Show one job with every row that it skipped, and why.

    Example: triptych jobs show 3f2a
    """
    with run.reading() as services:
        view = _job(services.jobs(1000), job)
        skipped = _all_rejections(services, view)
        run.emit({"job": view, "rejections": skipped}, lambda out: _show_job(out, view, skipped))


def jobs_resume(run: Run, job: JobArgument) -> None:
    """Let a paused, interrupted or failed job go on where it stopped.

    Example: triptych jobs resume 3f2a
    """
    with run.writing() as services:
        view = _job(services.jobs(1000), job)
        if view.status in ("done", "cancelled"):
            raise BadInput(f"Job {view.job_id} is {view.status}; there is nothing to resume.")
        services.resume(view.job_id)
        report(run, services, follow(run, services, view.job_id))


def jobs_cancel(run: Run, job: JobArgument) -> None:
    """Cancel a job that runs, waits, is paused or was interrupted, also from another shell; what it committed stays.

    Example: triptych jobs cancel 3f2a
    """
    try:
        with run.writing() as services:
            view = _job(services.jobs(1000), job)
            if view.status in ("done", "cancelled", "failed"):
                raise BadInput(f"Job {view.job_id} is {view.status}; there is nothing to cancel.")
            services.cancel(view.job_id)
            ended = services.wait(view.job_id, 30)
    except WorkspaceInUse:
        from app.verbs.library import cancel_elsewhere

        ended = cancel_elsewhere(run.folder, _job(_elsewhere(run), job))
    run.emit({"job": ended}, lambda out: out.print(printable(f"{ended.label}: {ended.status}")))


def _preview(paths: list[str], columns: dict[str, str]) -> tuple[Preview, ...]:
    from app.verbs.library import LibraryVerbs

    return LibraryVerbs().preview(paths, columns)


def _planned(services: Services, collection: str, pipelines: list[str] | None) -> list[IndexView]:
    """The indexes that an update would touch: those of the pipelines that are absent or behind."""
    wanted = {spec.label() for spec in services.needed_indexes(pipelines or None)}
    views = services.collection(collection).indexes
    return [view for view in views if view.label in wanted and view.state != "ready"]


def _elsewhere(run: Run) -> tuple[JobView, ...]:
    """The unfinished jobs of the process that has the workspace open. Raises WorkspaceInUse where it tells of none."""
    from app.verbs.library import jobs_elsewhere

    return jobs_elsewhere(run.folder)


def _job(jobs: Sequence[JobView], prefix: str) -> JobView:
    """The one job whose id starts so. Raises NotFound and, where several do, BadInput."""
    found = [job for job in jobs if job.job_id.startswith(prefix)]
    if not found:
        raise NotFound(f"There is no job {prefix!r}. See `triptych jobs list`.")
    if len(found) > 1:
        raise BadInput(f"{len(found)} jobs start with {prefix!r}; give more of the id.")
    return found[0]


def _all_rejections(services: Services, job: JobView) -> list[RejectionView]:
    rows: list[RejectionView] = []
    while page := services.rejections(job.job_id, len(rows), 1000):
        rows.extend(page)
    return rows


def _show_previews(out: Any, previews: tuple[Preview, ...], columns: dict[str, str]) -> None:
    for preview in previews:
        used = {guess.field: guess.column for guess in preview.guesses if guess.column}
        _show_preview(out, preview, used | columns if preview.available else used)


def _show_preview(out: Any, preview: Preview, used: dict[str, str]) -> None:
    out.print(printable(f"{preview.source} ({preview.format})"), style="bold", soft_wrap=True)
    if used:
        out.print(
            "  " + printable(", ".join(f"{field} from {column}" for field, column in used.items())), soft_wrap=True
        )
    spare = [name for name in preview.available if name not in used.values()]
    if spare:
        out.print("  " + printable(f"kept as metadata: {', '.join(spare)}"), soft_wrap=True)
    for record in preview.records:
        out.print(
            f"  {printable(record['doc_id'])}  {printable(record['title'] or record['text'][:80])}", soft_wrap=True
        )
    for row in preview.rejected:
        out.print("  " + printable(f"skipped {row.place}: {row.reason}"), soft_wrap=True)


def _show_planned(out: Any, planned: list[IndexView]) -> None:
    if not planned:
        out.print("Every index is up to date.")
    for view in planned:
        what = (
            "not built yet"
            if view.state == "absent"
            else f"{view.behind:,} new"
            if view.state == "behind"
            else view.state
        )
        cost = f"; {view.note}" if view.state == "absent" and view.note else ""
        out.print(printable(f"{view.label}: {what}{cost}"), soft_wrap=True)


def _show_jobs(out: Any, jobs: tuple[JobView, ...]) -> None:
    from rich.table import Table

    if not jobs:
        out.print("No job has run yet.")
        return
    table = Table(box=None, pad_edge=False)
    for head in ("job", "status", "collection", "what", "how far", "started"):
        table.add_column(head, no_wrap=True, overflow="ellipsis")
    for job in jobs:
        cells = (job.job_id[:12], job.status, job.collection, job.label, _far(job), job.started_at[:19])
        table.add_row(*map(printable, cells))
    out.print(table)


def _far(job: JobView) -> str:
    """What an ended job came to, or how far another one is."""
    return counted(job) if job.finished_at else told(job)


def _show_job(out: Any, job: JobView, skipped: list[RejectionView]) -> None:
    out.print(printable(f"{job.label} into {job.collection}: {job.status}"), soft_wrap=True)
    out.print(told(job))
    if job.error:
        out.print(printable(job.error), soft_wrap=True)
    if done := counted(job):
        out.print(f"  {done}")
    for row in skipped:
        out.print("  " + printable(f"skipped {row.place}: {row.reason}"), soft_wrap=True)
