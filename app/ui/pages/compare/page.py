"""What the Compare page says of itself."""

from __future__ import annotations

from app.ui.frame.page import Lists, Page, Panel
from app.ui.pages.compare import actions, cutting, unrolled
from app.ui.web.session import UiState

NAME = "compare"


def _here(state: UiState) -> bool:
    return state.page == NAME


PAGE = Page(
    name=NAME,
    title="Compare",
    icon="compare",
    order=20,
    key="c",
    head=actions.head,
    main=actions.main,
    lists=Lists(redrawn=actions.shown, pipeline=actions.column, depth=lambda state: state.k),
    asked=True,
    explained=actions.explained,
    subject=actions.subject,
    actions={**unrolled.ACTIONS, **actions.ACTIONS},
    panels={name: Panel(draw=draw, shown=_here) for name, draw in actions.PANELS.items()},
    options=("view", "of", "at", "n", "ms", "why", cutting.OPTION),
    styles=("evaluate.css", "calibrate.css", "unrolled.css"),
    waiting=("#tp-board .box-error", "#tp-board .box-wait", ".is-filling"),
)
