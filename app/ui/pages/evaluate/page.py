"""What the Evaluate page says of itself, with the pane of query sets."""

from __future__ import annotations

from app.ui.frame.page import Jobs, Page, Panel, Regions
from app.ui.pages.evaluate import actions, choices, questions
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState


def _poll(ui: Ui, state: UiState, jobs: Jobs) -> Regions:
    return actions.progress(ui, state)


PAGE = Page(
    name="evaluate",
    title="Evaluate",
    icon="chart",
    order=40,
    key="e",
    head=actions.head,
    main=actions.main,
    settle=choices.settle,
    poll=_poll,
    actions={**actions.ACTIONS, **questions.ACTIONS},
    panels={questions.PANEL: Panel(draw=questions.pane)},
    options=("run", "job", "disagree", "beside", "pipe", "metric", *actions.SETTINGS, "sort", "measure", "against"),
    alerts=("ev-alert", "questions-alert"),
    styles=("evaluate.css",),
    waiting=("#ev-job [data-evaluating]",),
)
