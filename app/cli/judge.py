"""`triptych judging`, `blind` and `runs`: who finds what relevant, what people prefer, and what other systems found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.options import PipelinesOption, SetOption, chosen_pipelines
from app.cli.progress import follow
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.judging import AssessorAgreement, BlindResults, JudgingItem, QueueView
    from app.verbs.services import Services

QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", help="Its id, or the first characters.")]
PositionArgument = Annotated[int, typer.Argument(metavar="POSITION", min=0, help="Its place in the queue.")]
AssessorOption = Annotated[str, typer.Option("--assessor", metavar="NAME", help="Who judges.")]


PLACE = 70
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    judging = typer.Typer(help="Judge pooled documents, alone or with others.", no_args_is_help=True)
    app.add_typer(judging, name="judging")
    command(judging, "start")(judging_start)
    command(judging, "list")(judging_list)
    command(judging, "next")(judging_next)
    command(judging, "rate")(judging_rate)
    command(judging, "skip")(judging_skip)
    command(judging, "undo")(judging_undo)
    command(judging, "agreement")(judging_agreement)
    command(judging, "rule")(judging_rule)
    command(judging, "delete")(judging_delete)
    blind = typer.Typer(help="See what blind comparisons came to.", no_args_is_help=True)
    app.add_typer(blind, name="blind")
    command(blind, "list")(blind_list)
    command(blind, "results")(blind_results)
    runs = typer.Typer(help="Keep TREC runs of other systems beside your pipelines.", no_args_is_help=True)
    app.add_typer(runs, name="runs")
    command(runs, "import")(runs_import)
    command(runs, "list")(runs_list)
    command(runs, "delete")(runs_delete)


def judging_start(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: PipelinesOption = None,
    run_name: Annotated[
        list[str] | None, typer.Option("--run", metavar="NAME", help="An imported run. May be given again.")
    ] = None,
    order: Annotated[
        Literal["disagreement", "flip", "pool"],
        typer.Option(
            help="Where pipelines disagree first; what could flip who is better first; or as the pipelines rank."
        ),
    ] = "disagreement",
    depth: Annotated[int, typer.Option("--depth", "-k", min=1, max=1000, help="How many of each ranking.")] = 10,
    metric: Annotated[
        str, typer.Option("--metric", "-m", metavar="METRIC", help="By which a pipeline is better, for --order flip.")
    ] = "nDCG@10",
    again: Annotated[
        bool, typer.Option("--again", help="Also what somebody judged, as a second assessor wants it.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How many documents at most.")] = 2000,
) -> None:
    """Run pipelines on a query set and put what they find in a queue to be judged.

    Example: triptych judging start --collection thesis --pipeline BM25 --pipeline Dense --order disagreement
    """
    with run.writing() as services:
        name = the_collection(services, collection)
        asked = chosen_pipelines(services, pipelines, default=not run_name)
        begun = services.start_queue(
            name, asked, runs=run_name or (), query_set=queries, depth=depth, order=order, measure=metric, again=again, limit=limit
        )  # fmt: skip
        follow(run, services, begun.job_id)
        found = services.queue(name, begun.queue_id)
        run.emit(
            found, lambda out: _say(out, f"{found.total:,} documents to judge in the queue {found.queue_id[:12]}.")
        )


def judging_list(run: Run, collection: CollectionOption = None, assessor: AssessorOption = "me") -> None:
    """List the judging queues of a collection, and how far an assessor is with each.

    Example: triptych judging list --collection thesis
    """
    with run.reading() as services:
        found = services.queues(the_collection(services, collection), assessor=assessor)
        run.emit({"queues": found}, lambda out: _show_queues(out, found))


def judging_next(
    run: Run,
    queue: QueueArgument,
    collection: CollectionOption = None,
    assessor: AssessorOption = "me",
    skipped: Annotated[bool, typer.Option("--skipped", help="The next of those that were skipped.")] = False,
) -> None:
    """Show the next document of a queue. Nothing tells which pipeline found it.

    Example: triptych judging next 5d1e --collection thesis --assessor ann
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        found = services.judging_item(name, _queue(services, name, queue), assessor=assessor, skipped=skipped)
        run.emit({"item": found}, lambda out: _show_item(out, found))


def judging_rate(
    run: Run,
    queue: QueueArgument,
    position: PositionArgument,
    rating: Annotated[int, typer.Argument(metavar="RATING", help="0 for not relevant, up to 3 for exactly this.")],
    collection: CollectionOption = None,
    assessor: AssessorOption = "me",
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="A note to keep with it.")] = None,
) -> None:
    """Rate a document of a queue.

    Example: triptych judging rate 5d1e 0 2 --collection thesis --assessor ann
    """
    with run.writing() as services:
        name = the_collection(services, collection)
        found = services.judge(name, _queue(services, name, queue), position, rating, assessor=assessor, note=note)
        run.emit(found, lambda out: _say(out, f"{found.judged:,} judged, {found.left:,} left."))


def judging_skip(
    run: Run,
    queue: QueueArgument,
    position: PositionArgument,
    collection: CollectionOption = None,
    assessor: AssessorOption = "me",
) -> None:
    """Leave a document of a queue unjudged.

    Example: triptych judging skip 5d1e 1 --collection thesis --assessor ann
    """
    with run.writing() as services:
        name = the_collection(services, collection)
        found = services.skip(name, _queue(services, name, queue), position, assessor=assessor)
        run.emit(found, lambda out: _say(out, f"{found.skipped:,} skipped, {found.left:,} left."))


def judging_undo(
    run: Run, collection: CollectionOption = None, queries: SetOption = "default", assessor: AssessorOption = "me"
) -> None:
    """Take an assessor's last act back: a rating, a skip, a note.

    Example: triptych judging undo --collection thesis --assessor ann
    """
    with run.writing() as services:
        found = services.undo(the_collection(services, collection), queries, assessor=assessor)
        told = (
            "There is nothing to undo."
            if found is None
            else f"Undid: {found.action} {found.doc_id} for query {found.qid}."
        )
        run.emit({"undone": found}, lambda out: _say(out, told))


def judging_agreement(run: Run, collection: CollectionOption = None, queries: SetOption = "default") -> None:
    """Say how far the assessors of a query set agree beyond chance, and where they differ.

    Example: triptych judging agreement --collection thesis
    """
    with run.reading() as services:
        found = services.assessors(the_collection(services, collection), queries)
        run.emit(found, lambda out: _show_agreement(out, found))


def judging_rule(
    run: Run,
    rule: Annotated[Literal["latest", "majority", "median"], typer.Argument(metavar="RULE", help="The rule.")],
    collection: CollectionOption = None,
    queries: SetOption = "default",
) -> None:
    """Choose which judgment of a document counts where assessors differ: latest, majority or median.

    Example: triptych judging rule majority --collection thesis
    """
    with run.writing() as services:
        services.set_judgment_rule(the_collection(services, collection), queries, rule)
        run.emit(
            {"query_set": queries, "rule": rule},
            lambda out: _say(out, f"In the query set {queries} the {rule} counts."),
        )


def judging_delete(run: Run, queue: QueueArgument, collection: CollectionOption = None) -> None:
    """Forget a queue; the judgments that were made from it stay.

    Example: triptych judging delete 5d1e --collection thesis
    """
    with run.writing() as services:
        name = the_collection(services, collection)
        found = _queue(services, name, queue)
        services.delete_queue(name, found)
        run.emit({"deleted": found}, lambda out: _say(out, f"Deleted {found[:12]}."))


def blind_list(run: Run, collection: CollectionOption = None) -> None:
    """List the blind comparisons of a collection.

    Example: triptych blind list --collection thesis
    """
    with run.reading() as services:
        found = services.blind_sessions(the_collection(services, collection))
        lines = [
            f"{one.session_id[:12]}  {one.pipelines[0]} or {one.pipelines[1]}: {one.votes:,} votes, {one.created_at[:10]}"
            for one in found
        ]
        run.emit({"sessions": found}, lambda out: _say(out, *(lines or ["There is no blind comparison yet."])))


def blind_results(
    run: Run,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Its id, or the first characters.")],
    collection: CollectionOption = None,
) -> None:
    """Say what people preferred in a blind comparison, with an interval and a sign test.

    Example: triptych blind results 77aa --collection thesis
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        ids = [one.session_id for one in services.blind_sessions(name)]
        found = services.blind_results(name, _only(session, ids, "blind comparisons", "triptych blind list"))
        run.emit(found, lambda out: _show_votes(out, found))


def runs_import(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TREC run: `qid Q0 docid rank score tag`.")],
    collection: CollectionOption = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it; else as the file is called.")] = "",
) -> None:
    """Keep a TREC run of another system, to be judged, compared and pooled beside your pipelines.

    Example: triptych runs import pyserini.run --collection thesis --name Pyserini
    """
    with run.writing() as services:
        found = services.import_run(the_collection(services, collection), file, name=name)
        told = f"Kept {found.name}: {found.hits:,} hits of {found.queries:,} queries."
        run.emit(found, lambda out: _say(out, told))
        if found.absent:
            run.notify(f"{found.absent:,} of its documents are not in the collection.")


def runs_list(run: Run, collection: CollectionOption = None) -> None:
    """List the imported runs of a collection.

    Example: triptych runs list --collection thesis
    """
    with run.reading() as services:
        found = services.runs(the_collection(services, collection))
        lines = [f"{one.name}: {one.hits:,} hits of {one.queries:,} queries, from {one.source}" for one in found]
        run.emit({"runs": found}, lambda out: _say(out, *(lines or ["There is no run yet: triptych runs import FILE"])))


def runs_delete(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The run.")],
    collection: CollectionOption = None,
) -> None:
    """Let go of an imported run; evaluations that judged it stay.

    Example: triptych runs delete Pyserini --collection thesis
    """
    with run.writing() as services:
        services.delete_run(the_collection(services, collection), name)
        run.emit({"deleted": name}, lambda out: _say(out, f"Deleted {name}."))


def _queue(services: Services, collection: str, prefix: str) -> str:
    ids = [view.queue_id for view in services.queues(collection)]
    return _only(prefix, ids, "judging queues", "triptych judging list")


def _only(prefix: str, ids: list[str], what: str, see: str) -> str:
    """The one id that starts so. Raises BadInput."""
    found = [one for one in ids if one.startswith(prefix)]
    if len(found) != 1:
        raise BadInput(f"{len(found) or 'No'} {what} start with {prefix!r}. See `{see}`.")
    return found[0]


def _say(out: Any, *sentences: str) -> None:
    for sentence in sentences:
        out.print(printable(sentence), soft_wrap=True)


def _show_queues(out: Any, found: tuple[QueueView, ...]) -> None:
    lines = [
        f"{one.queue_id[:12]}  {one.query_set}, {one.order} first, {', '.join(one.pipelines)}: "
        f"{one.judged:,} of {one.total:,} judged, {one.skipped:,} skipped ({one.state})"
        for one in found
    ]
    _say(out, *(lines or ["There is no judging queue yet: triptych judging start"]))


def _show_item(out: Any, item: JudgingItem | None) -> None:
    if item is None:
        out.print("Everything in this queue is judged or skipped.")
        return
    out.print(printable(f"{item.position}. {item.query}"), style="bold", soft_wrap=True)
    about = ", ".join(filter(None, [*item.authors[:3], str(item.year or ""), item.venue]))
    _say(out, *filter(None, (item.description, f"{item.doc_id}: {item.title}", about)))
    _say(out, "".join(piece.text for piece in item.text))
    if item.rating is not None:
        _say(out, f"You rated it {item.rating} before.")


def _show_agreement(out: Any, found: AssessorAgreement) -> None:
    _say(out, *(f"{one.name}: {one.judgments:,} judgments" for one in found.assessors))
    for pair in found.pairs:
        kappa = "undefined" if pair.kappa is None else f"{pair.kappa:.3f}"
        if pair.shared:
            line = f"{pair.left} and {pair.right}: Cohen's kappa {kappa}, the same on {pair.same:.0%} of {pair.shared:,} documents"
        else:
            line = f"{pair.left} and {pair.right}: no document in common"
        _say(out, line)
    if found.fleiss is not None:
        _say(out, f"All of them: Fleiss' kappa {found.fleiss:.3f} over {found.shared:,} documents")
    _say(out, f"Where they differ, the {found.rule} counts:" if found.different else "They differ nowhere.")
    for one in found.different[:20]:
        given = ", ".join(f"{name} {rating}" for name, rating in one.ratings.items())
        _say(out, f"  {one.doc_id} for {one.qid}: {given}; {one.counts} counts")


def _show_votes(out: Any, found: BlindResults) -> None:
    first, second = found.session.pipelines
    _say(out, f"{first}: {found.wins[0]:,}, {second}: {found.wins[1]:,}, ties: {found.ties:,}, both bad: {found.bad:,}")
    if found.share is not None:
        _say(
            out,
            f"{first} was preferred in {found.share:.0%} of the votes that preferred one "
            f"({found.level:.0%} interval {found.low:.0%} to {found.high:.0%}; sign test p = {found.p:.3g}).",
        )
