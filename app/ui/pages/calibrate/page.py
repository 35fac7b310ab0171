"""What the Calibrate page says of itself."""

from __future__ import annotations

from app.ui.frame.page import Jobs, Page, Regions
from app.ui.pages.calibrate import actions
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState


def _poll(ui: Ui, state: UiState, jobs: Jobs) -> Regions:
    return actions.progress(ui, state)


PAGE = Page(
    name="calibrate",
    title="Calibrate",
    icon="scale",
    order=30,
    key="k",
    head=actions.head,
    main=actions.main,
    settle=actions.settle,
    poll=_poll,
    actions=actions.ACTIONS,
    options=("run", "job", "pipe", "method", *actions.SETTINGS, *actions.LOOKS, "aim", "least"),
    alerts=("cal-alert",),
    styles=("evaluate.css", "calibrate.css"),
    waiting=("#cal-job [data-evaluating]",),
)
