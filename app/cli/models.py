"""`triptych models`: what searches and reranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import DATABASE, AllowHostOption, Run, command, printable
from app.cli.progress import follow, report
from app.drawing.format import size
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.models import ModelPlan, ModelView
    from engine.export.speed.bench import Benchmark
    from engine.models.card import ModelCard


def _family(name: str) -> str:
    """The name of a family; which ones there are is known once their files are read, which a command that does not ask need not wait for."""
    from engine.models.family import families

    if name not in families():
        raise ValueError(f"{name!r} is not one of {', '.join(map(repr, families()))}.")
    return name


Quantize = Literal["int8", "int4", "fp16", "none"]
StateName = Literal["bundled", "here", "available"]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        parser=_family, metavar="FAMILY", help="What kind of model it is, like sparse; by default what its files say."
    ),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or its hub repository.")]


PLACE = 110
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    models = typer.Typer(help="List, add, remove and export the models that search and rerank.", no_args_is_help=True)
    app.add_typer(models, name="models")
    command(models, "list")(models_list)
    command(models, "show")(models_show)
    command(models, "add")(models_add)
    command(models, "remove")(models_remove)
    command(models, "export")(models_export)
    command(models, "bench")(models_bench)


def models_list(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="[WORDS]", help="Only models with these words in what is known.")] = "",
    family: Annotated[
        str | None, typer.Option(parser=_family, metavar="FAMILY", help="Only this kind, like dense.")
    ] = None,
    state: Annotated[StateName | None, typer.Option(help="Only those that are bundled, here, or available.")] = None,
) -> None:
    """List the models that come with the program, those of the workspace, and those that the catalogue knows.

    Example: triptych models list --family dense
    """
    from app.verbs.models import chosen

    found = chosen(_known(run), family=family or "", state=state or "", text=text)
    run.emit({"models": found}, lambda out: _show_models(out, found))


def models_show(run: Run, model: ModelArgument) -> None:
    """Show everything that is known about a model: files, prompts, license, provenance, who uses it.

    Example: triptych models show all-MiniLM-L6-v2
    """
    from app.verbs.models import named

    view = named(_known(run), model)
    run.emit({"model": view}, lambda out: _show_details(out, view))


def models_add(
    run: Run,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A name of the catalogue, a hub repository OWNER/NAME, or a folder in sentence-transformers layout.",
        ),
    ],
    name: Annotated[str, typer.Option(help="What it is called here; by default as there.")] = "",
    family: FamilyOption = None,
    revision: Annotated[str, typer.Option(help="A branch, tag or commit of the repository.")] = "main",
    quantize: Annotated[
        Quantize | None,
        typer.Option(help="Convert with weights of this kind; by default its own graph where it has one, else int8."),
    ] = None,
    dimensions: Annotated[int | None, typer.Option(min=1, help="Keep the first ones of each vector.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even where its results differ from the original's.")] = False,
    allow_host: AllowHostOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be downloaded and done; download no weights.")
    ] = False,
) -> None:
    """Add a model to the workspace: download or read, convert where needed, try out. Downloads resume, and are verified.

    Example: triptych models add bge-small-en-v1.5
    """
    options = {
        "name": name,
        "family": family,
        "revision": revision,
        "quantise": quantize,
        "dimensions": dimensions,
        "replace": replace,
        "force": force,
        "allow_hosts": allow_host,
    }
    if dry_run:
        planned = _planned(run, source, options)
        run.emit({"plan": planned}, lambda out: _show_plan(out, planned))
        return
    with run.writing() as services:
        job = follow(run, services, services.add_model(source, **options))
        if job.status != "done":
            report(run, services, job)
            return
        view = services.model(job.result)
        run.emit({"job": job, "rejections": (), "model": view}, lambda out: _show_added(out, view, job.hosts))


def models_remove(
    run: Run,
    model: ModelArgument,
    force: Annotated[bool, typer.Option("--force", help="Also the indexes that were built with it.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and what uses it; delete nothing.")
    ] = False,
) -> None:
    """Delete a model from the workspace. One that indexes were built with is kept, unless forced.

    Example: triptych models remove bge-small-en-v1.5
    """
    if dry_run:
        with run.reading() as services:
            view = services.model(model)
            if view.state not in ("here", "damaged"):
                raise BadInput(f"{view.name!r} is not a model of this workspace, so it cannot be deleted.")
            run.emit({"model": view}, lambda out: _show_removal(out, view))
        return
    with run.writing() as services:
        job = follow(run, services, services.remove_model(model, force=force))
        report(run, services, job)


def models_export(
    run: Run,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A sentence-transformers folder, or the name of a bundled model.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the exported model.")],
    quantize: Annotated[
        Quantize, typer.Option(help="int8 and int4 are smaller, fp16 is for GPUs, none keeps every weight as it is.")
    ] = "int8",
    family: FamilyOption = None,
    dimensions: Annotated[int | None, typer.Option(min=1, help="Keep the first ones of each vector.")] = None,
    license: Annotated[str, typer.Option(help="The license of the weights, for the card.")] = "",
    revision: Annotated[str, typer.Option(help="What pins the source: a version, commit or hash.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where its results differ from the original's.")
    ] = False,
) -> None:
    """Export a sentence-transformers model to ONNX, and compare its results with the original's. Needs the extra `export`.

    Example: triptych models export ./my-model ./my-model-onnx
    """
    from engine.export.export import export_model

    about = {name: text for name, text in (("licence", license), ("revision", revision)) if text}
    card = export_model(
        source,
        folder,
        quantise=quantize,
        family=family,
        dimensions=dimensions,
        about=about,
        force=force,
        say=run.notify,
    )
    run.emit(card.model_dump(mode="json"), lambda out: _show_card(out, card))


def models_bench(
    run: Run,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that is bundled or in the workspace.")],
    threads: Annotated[int | None, typer.Option(min=1, help="On the CPU; by default all cores.")] = None,
    documents: Annotated[int, typer.Option(min=1, help="How many abstracts to encode.")] = 64,
) -> None:
    """Measure documents and queries a second on each provider, and the share of this computer's peak that is reached.

    Example: triptych models bench all-MiniLM-L6-v2
    """
    from engine.export.speed.bench import bench_in_child
    from engine.models.catalogue import model_folder
    from engine.workspace.models import MODELS

    found = bench_in_child(model_folder(model, run.folder / MODELS), threads=threads, documents=documents)
    if (run.folder / DATABASE).exists():
        with run.writing() as services:
            services.keep_speed(model, found)
    run.emit({"benchmark": found}, lambda out: _show_benchmark(out, found))


def _known(run: Run) -> tuple[ModelView, ...]:
    """All models; without a workspace those that are bundled or in the catalogue."""
    from app.verbs.models import Known, views

    if not (run.folder / DATABASE).exists():
        return views(Known())
    with run.reading() as services:
        return services.models()


def _planned(run: Run, source: str, options: dict[str, Any]) -> ModelPlan:
    """What adding would do, in the workspace that is there or in a new one."""
    from app.verbs.models import plan, request

    if not (run.folder / DATABASE).exists():
        return plan(request(source, options))
    with run.reading() as services:
        return services.plan_model(source, **options)


_STATES = {
    "bundled": "Bundled",
    "here": "In this workspace",
    "adding": "In this workspace",
    "damaged": "In this workspace",
    "available": "Available: triptych models add NAME",
}


def _show_models(out: Any, found: Sequence[ModelView]) -> None:
    if not found:
        out.print("No model is known like that. `triptych models list` shows all of them.")
    heading = ""
    for view in found:
        if _STATES[view.state] != heading:
            heading = _STATES[view.state]
            out.print(heading, style="bold")
        out.print("  " + printable(f"{view.name}: {facts(view)}"), soft_wrap=True)


def facts(view: ModelView) -> str:
    """A model in a line: "dense, 384 dimensions, 256 tokens, 25 MB, Apache-2.0"."""
    from engine.models.family import family_of

    takes = size(view.bytes) if view.bytes else ""
    if not takes and view.download_megabytes:
        takes = f"about {view.download_megabytes:,} MB"
    parts = [
        view.family if view.state not in ("adding", "damaged") else f"{view.family}, {view.state}",
        f"{view.dimensions:,} dimensions" if view.dimensions and not family_of(view.family).scores_pairs else "",
        f"{view.max_tokens:,} tokens" if view.max_tokens else "",
        view.quantisation if view.quantisation not in ("", "none") else "",
        takes,
        view.licence,
        "gated" if view.gated else "",
        "cannot be run here" if not view.runs and view.state != "damaged" else "",
    ]
    return ", ".join(part for part in parts if part)


def _show_details(out: Any, view: ModelView) -> None:
    out.print(printable(view.name), style="bold", soft_wrap=True)
    out.print("  " + printable(facts(view)), soft_wrap=True)
    from engine.models.family import family_of

    speed, family = view.speed, family_of(view.family)
    rows = (
        ("state", view.state),
        ("hub", view.hub),
        ("from", f"{view.source} {view.revision}".strip()),
        ("architecture", view.architecture),
        ("languages", ", ".join(view.languages)),
        ("parameters", f"{view.parameters / 1e6:,.0f} million" if view.parameters else ""),
        ("may be cut to", ", ".join(map(str, view.matryoshka))),
        ("compared by", view.similarity if not family.scores_pairs else ""),
        ("pooling", view.pooling),
        ("queries", view.queries if family.looks_up else ""),
        ("before queries", repr(view.prompt_query) if view.prompt_query else ""),
        ("before documents", repr(view.prompt_document) if view.prompt_document else ""),
        ("fingerprint", view.fingerprint),
        ("speed here", f"{speed.documents_per_second:,.0f} documents/s, {speed.queries_per_second:,.0f} queries/s on {speed.provider}" if speed else ""),
        ("used by", ", ".join(view.used_by)),
        ("pipelines", ", ".join(view.pipelines)),
        *view.measured,
        ("note", view.note),
        ("trained on", view.training_data),
        ("cite", view.citation),
    )  # fmt: skip
    for label, value in rows:
        if value:
            out.print("  " + printable(f"{label}: {value}"), soft_wrap=True)


_HOW = {
    "copy": "copied as it is",
    "graph": "its own ONNX graph is used",
    "round": "the weights of its own ONNX graph are rounded here",
    "convert": "its weights are converted here",
}


def _show_added(out: Any, view: ModelView, hosts: str) -> None:
    """What is here now, how closely it agrees with its original, and what can be done with it."""
    out.print(printable(f"Added {view.name}: {facts(view)}"), soft_wrap=True)
    if hosts:
        out.print("  " + printable(f"downloaded from {hosts}"), soft_wrap=True)
    for label, value in view.measured:
        out.print("  " + printable(f"{label}: {value}"), soft_wrap=True)
    if view.pipelines:
        out.print("  " + printable(f"pipelines: {', '.join(view.pipelines)}"), soft_wrap=True)


def _show_plan(out: Any, planned: ModelPlan) -> None:
    out.print(printable(f"{planned.name}: {planned.family}, from {planned.source}, {planned.licence}"), soft_wrap=True)
    out.print(f"  {len(planned.files)} files, {size(planned.bytes)}; {_HOW[planned.how]}")
    for note in planned.notes:
        out.print("  " + printable(note), soft_wrap=True)


def _show_benchmark(out: Any, found: Benchmark) -> None:
    from engine.models.family import family_of

    out.print(
        printable(
            f"{found.model}: {found.documents} documents of {found.tokens_per_document:.0f} tokens, "
            f"{found.operations_per_document / 1e9:.2f} billion operations each"
        ),
        soft_wrap=True,
    )
    what = family_of(found.family).unit
    for speed in found.speeds:
        threads = f", {speed.threads} threads" if speed.provider == "cpu" else ""
        share = "not known" if speed.share is None else f"{speed.share:.0%}"
        peaks = ", ".join(f"{kind} {value / 1e9:,.0f}" for kind, value in speed.peaks.items())
        out.print(
            f"  {speed.provider}{threads}: {speed.documents_per_second:,.1f} {what}/s, {speed.queries_per_second:,.1f} queries/s; "
            f"{speed.operations_per_second / 1e9:,.0f} billion operations/s, {share} of the {speed.kind} peak "
            f"(matrix products here: {peaks or 'not measured'} billion/s)",
            soft_wrap=True,
        )
    for note in found.notes:
        out.print("  " + printable(note), soft_wrap=True)


def _show_removal(out: Any, view: ModelView) -> None:
    out.print(printable(f"{view.name}: {size(view.bytes)} would be deleted."), soft_wrap=True)
    if view.used_by:
        out.print(
            printable(f"Indexes of {', '.join(view.used_by)} were built with it; --force deletes them too."),
            soft_wrap=True,
        )


def _show_card(out: Any, card: ModelCard) -> None:
    out.print(printable(card.title), style="bold", soft_wrap=True)
    size = f"{sum(file.bytes for file in card.files.values()) / 1e6:.0f} MB"
    out.print(
        "  " + printable(f"{card.dimensions} dimensions, {card.max_tokens} tokens, {size}, {card.licence}"),
        soft_wrap=True,
    )
    out.print("  " + printable(f"from {card.source}"), soft_wrap=True)
