"""`triptych evaluate` and `disagree`: which pipeline is better, and where they differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.options import PipelinesOption, SetOption, chosen_pipelines, query_progress
from app.drawing.format import plural
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.evaluation import Disagreement, EvaluatedPipeline, EvaluationView, MeasureCell
    from app.verbs.services import Services

DEFAULT_METRICS = ("nDCG@10", "AP", "RR@10", "R@100")
SHOWN_QUERIES = 10
GAPS = 0.8
"""Below this share of judged documents among the first ten, measures for judgments with gaps are shown too."""

Correction = Literal["holm", "bh", "none"]
Test = Literal["randomization", "t", "wilcoxon"]


PLACE = 40
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(evaluate)
    command(app)(disagree)


def evaluate(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: PipelinesOption = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="METRIC",
            help="As nDCG@10, AP or P(rel=2)@5. May be given again. Default: nDCG@10, AP, RR@10, R@100.",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others are compared with; else the first pipeline.")
    ] = None,
    test: Annotated[Test, typer.Option(help="The paired test.")] = "randomization",
    correction: Annotated[
        Correction, typer.Option(help="For the number of pipelines compared, within each metric.")
    ] = "holm",
    level: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the intervals; a p below 1 - SHARE is marked.")
    ] = 0.95,
    depth: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=10_000, help="How many documents of each ranking count.")
    ] = 1000,
    batch: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            min=1,
            max=1000,
            help="Queries that run together: faster above 1, but times are then shares of a batch.",
        ),
    ] = 1,
    run_in: Annotated[
        list[Path] | None,
        typer.Option(
            "--run-in",
            metavar="FILE",
            help="A TREC run to judge as well, named after its file and kept with the collection. May be given again.",
        ),
    ] = None,
    run_name: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="NAME", help="An imported run to judge as well. May be given again."),
    ] = None,
    run_out: Annotated[
        Path | None, typer.Option("--run-out", metavar="FOLDER", help="Write a TREC run of each pipeline here.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the leaderboard as CSV.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run every query again, also those that are finished.")
    ] = False,
) -> None:
    """Judge pipelines on a query set: means with intervals, tests against a baseline, and latency.

    A run that was stopped goes on when the same command is given again.

    Example: triptych evaluate --collection thesis --pipeline BM25 --pipeline Hybrid --metric nDCG@10 --metric AP
    """
    if as_csv and run.as_json:
        raise BadInput("Choose one of --csv and --json.")
    if len({path.stem for path in run_in or ()}) != len(run_in or ()):
        raise BadInput("Two of the --run-in files have the same name; rename one.")
    with run.writing() as services:
        target = the_collection(services, collection)
        brought = [services.import_run(target, path).name for path in run_in or ()]
        runs = [*(name for name in run_name or () if name not in brought), *brought]
        asked = chosen_pipelines(services, pipelines, default=not runs)
        with query_progress(run) as progress:
            found = services.evaluate(
                target, asked, query_set=queries, metrics=metric or DEFAULT_METRICS, baseline=baseline,
                test=test, correction=correction, level=level, depth=depth, batch=batch, runs=runs, fresh=fresh, progress=progress,
            )  # fmt: skip
        files = _write_runs(services, found, run_out) if run_out is not None else []
        emit_leaderboard(run, found, as_csv, files)


def disagree(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: PipelinesOption = None,
    run_name: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="NAME", help="An imported run to compare as well. May be given again."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="How many documents of each pipeline.")] = 10,
    limit: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="How many queries to list, the most different first.")
    ] = SHOWN_QUERIES,
) -> None:
    """Say how far pipelines agree on a query set, and on which queries they differ most; no judgments are needed.

    A comparison that was stopped goes on when the same command is given again, and one that was finished is there at once.

    Example: triptych disagree --collection thesis --pipeline BM25 --pipeline Dense
    """
    with run.keeping() as services:
        asked = chosen_pipelines(services, pipelines, default=not run_name)
        with query_progress(run) as progress:
            found = services.disagreement(
                the_collection(services, collection), asked, runs=run_name or (), query_set=queries, k=k, progress=progress
            )  # fmt: skip
        run.emit(found, lambda out: _show_disagreement(out, found, limit))


def _write_runs(services: Services, found: EvaluationView, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for one in found.pipelines:
        if not one.yaml:
            continue
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in one.name).strip(".-") or "run"
        path = folder / f"{name}.run"
        if path in files:
            raise BadInput(f"Two pipelines would be written to {path}; rename one.")
        path.write_text(services.export_run(found.collection, found.evaluation_id, one.name), encoding="utf-8")
        files.append(path)
    return files


def emit_leaderboard(run: Run, found: EvaluationView, as_csv: bool, files: list[Path]) -> None:
    """Print a leaderboard as a table, as CSV, or as JSON."""
    if as_csv:
        from app.verbs.leaderboard import leaderboard_csv

        sys.stdout.write(leaderboard_csv(found))
        run.notify(*_remarks(found))
    else:
        run.emit({"evaluation": found, "runs": files}, lambda out: _show(out, found, files))


def _show(out: Any, found: EvaluationView, files: list[Path]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("pipeline", overflow="fold")
    for metric in found.metrics:
        table.add_column(printable(metric), no_wrap=True)
    for head in ("judged@10", "p50 ms", "p95 ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found.pipelines:
        base = " (baseline)" if one.name == found.baseline and len(found.pipelines) > 1 else ""
        cells = {cell.measure: _cell(cell) for cell in one.cells}
        times = ["" if ms is None else f"{ms:.1f}" for ms in (one.p50, one.p95)]
        judged = "" if one.judged is None else f"{one.judged:.2f}"
        table.add_row(printable(one.name) + base, *(cells.get(metric, "") for metric in found.metrics), judged, *times)
    out.print(table)
    for sentence in _remarks(found):
        out.print(printable(sentence), style="dim", soft_wrap=True)
    for one in found.pipelines:
        if one.failed:
            out.print(_failed(one), style="red", soft_wrap=True)
    for file in files:
        out.print(printable(f"Wrote {file}."), soft_wrap=True)


def _cell(cell: MeasureCell) -> str:
    if cell.mean is None:
        return "failed"
    mark = {1: " ▲", -1: " ▼", 0: ""}[cell.significant]
    record = "" if cell.wins is None else f"  {cell.wins}/{cell.ties}/{cell.losses}"
    return f"{cell.mean:.3f}{mark}{record}\n{cell.low:.3f}–{cell.high:.3f}"


def _failed(one: EvaluatedPipeline) -> str:
    return printable(
        f"{one.name} failed on {plural(one.failed, 'query', 'queries')}, left out of every mean: {one.error}"
    )


def _remarks(found: EvaluationView) -> list[str]:
    told = [
        f"{plural(found.queries, 'judged query', 'judged queries')} of the query set {found.query_set}; below each mean its {found.level:.0%} bootstrap interval."
    ]
    if len(found.pipelines) > 1:
        corrected = {"holm": ", Holm-corrected", "bh": ", Benjamini–Hochberg-corrected", "none": ", not corrected"}[
            found.correction
        ]
        told.append(
            f"▲ ▼ better or worse than {found.baseline}: {found.test} test{corrected}, p < {1 - found.level:.2g}. "
            "Three numbers: queries won, tied and lost against it."
        )
    if found.unjudged:
        without = plural(found.unjudged, "query has no judgment and was", "queries have no judgment and were")
        told.append(f"{without} left out.")
    told += [f"Stale: {reason}." for reason in found.stale]
    gaps = [one for one in found.pipelines if one.judged is not None and one.judged < GAPS]
    if gaps and found.metrics:
        left = [words for one in found.pipelines if (words := _condensed(one))]
        told.append(
            f"Much of the first ten is unjudged ({', '.join(f'{one.name} {1 - (one.judged or 0):.0%}' for one in gaps)}). "
            + (
                f"With the unjudged left out: {'; '.join(left)}."
                if left
                else "Every judged document is relevant, so nothing can be told without them."
            )
        )
    if found.evaluation_id:
        told.append(f"Stored as {found.evaluation_id[:12]}. Again: {found.command}")
    return told


def _condensed(one: EvaluatedPipeline) -> str:
    """The measures that suit judgments with gaps; "" without any."""
    means = [f"{cell.measure} {cell.condensed:.3f}" for cell in one.cells if cell.condensed is not None]
    means += [f"Bpref {one.bpref:.3f}"] if one.bpref is not None else []
    return f"{one.name} {', '.join(means)}" if means else ""


def _show_disagreement(out: Any, found: Disagreement, limit: int) -> None:
    for pair in found.pairs:
        tau = "" if pair.tau is None else f", Kendall's tau {pair.tau:.2f} where both found a document"
        overlap = f"RBO {pair.rbo:.2f} at p = .9 and {pair.rbo_top:.2f} at p = .5"
        line = f"{pair.left} and {pair.right}: Jaccard@{found.k} {pair.jaccard:.2f}, {overlap}{tau} ({pair.queries:,} queries)"
        out.print(printable(line), soft_wrap=True)
    if found.queries and limit:
        out.print("\nMost different first:", style="bold")
    for query in found.queries[:limit]:
        out.print(printable(f"{query.rbo:.2f}  {query.qid}: {query.text}"), overflow="ellipsis", no_wrap=True)
    for name in dict.fromkeys(failure.pipeline for failure in found.failures):
        failed = [failure for failure in found.failures if failure.pipeline == name]
        out.print(
            printable(f"{name} failed on {len(failed):,} queries: {failed[0].error}"), style="red", soft_wrap=True
        )
    if found.disagreement_id:
        out.print(
            f"Kept; `triptych evaluations delete {found.disagreement_id}` forgets it.", style="dim", soft_wrap=True
        )
