"""The query bar at the head of every page that asks one question."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing.controls import select
from app.drawing.html import el
from app.drawing.icons import icon
from app.results.search import PipelineView
from app.ui.web.session import UiState


def query_bar(state: UiState, pipelines: Sequence[PipelineView], *, compare: bool = False) -> Markup:
    """The form with the query. On Compare the pipelines are chosen at the heads of the columns."""
    names = [(view.name, view.name) for view in pipelines]
    tools = (
        select(
            "k",
            [(str(k), f"top {k}") for k in sorted({5, 10, 20, 50, 100, state.k})],
            str(state.k),
            label="Hits per column",
            action="compare",
        )
        if compare
        else select("pipeline", names, state.pipeline, label="Pipeline", action="search")
    )
    return el(
        "form",
        el(
            "div",
            icon("search"),
            el(
                "input",
                type="search",
                class_="query",
                id="tp-query",
                data_field="query",
                value=state.query,
                placeholder=f"Search {state.collection}" if state.collection else "Search",
                aria_label="Query",
                autocomplete="off",
                spellcheck="false",
                enterkeyhint="search",
                dir="auto",
            ),
            el("kbd", "/", class_="query-key", aria_hidden="true"),
            class_="query-box",
        ),
        tools,
        el("button", "Compare" if compare else "Search", type="submit", class_="btn btn-primary"),
        class_="query-bar",
        data_form=True,
        data_main=True,
        data_action="compare" if compare else "search",
        role="search",
    )
