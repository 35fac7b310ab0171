"""`triptych llm`: name the language model that rerankers may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.base import AllowHostOption, Run, command, printable

if TYPE_CHECKING:
    from rich.console import Console

    from app.results.search import LanguageModelView


PLACE = 140
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Name, try and forget the language model that rerankers may ask.", no_args_is_help=True)
    app.add_typer(group, name="llm")
    command(group, "set")(llm_set)
    command(group, "show")(llm_show)
    command(group, "try")(llm_try)
    command(group, "off")(llm_off)


def llm_set(
    run: Run,
    url: Annotated[str, typer.Argument(metavar="URL", help="An OpenAI-compatible address, up to and including /v1.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name there.")],
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="How long to wait for an answer, in all.")
    ] = 60.0,
    allow_host: AllowHostOption = None,
) -> None:
    """Name the language model. Its key, if it needs one, is read from TRIPTYCH_LLM_KEY and never stored.

    Example: triptych llm set http://127.0.0.1:11434/v1 qwen3
    """
    with run.writing() as services:
        found = services.set_language_model(url, model, timeout_s=timeout, allow_hosts=allow_host or ())
        run.emit(found, lambda out: _show(out, found))


def llm_show(run: Run) -> None:
    """Show which language model is named.

    Example: triptych llm show
    """
    with run.reading() as services:
        found = services.language_model()
        run.emit({"language_model": found}, lambda out: _show(out, found))


def llm_try(run: Run) -> None:
    """Put one small question to the language model, and say whether it tells log-probabilities.

    Example: triptych llm try
    """
    with run.reading() as services:
        found = services.try_language_model()
        run.emit(found, lambda out: _show(out, found))


def llm_off(run: Run) -> None:
    """Forget the language model; nothing is sent anywhere any more.

    Example: triptych llm off
    """
    with run.writing() as services:
        services.forget_language_model()
        run.emit({"language_model": None}, lambda out: _show(out, None))


def _show(out: Console, found: LanguageModelView | None) -> None:
    if found is None:
        out.print("No language model is named. Name one with `triptych llm set URL MODEL`.")
        return
    where = ", named by the environment" if found.from_environment else ""
    out.print(printable(f"{found.model} at {found.url}{where}; {'with' if found.has_key else 'without'} a key."))
    if found.ms is not None:
        told = "tells" if found.log_probabilities else "does not tell"
        out.print(printable(f"It answered {found.answer!r} after {found.ms:,.0f} ms and {told} log-probabilities."))
