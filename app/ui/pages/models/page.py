"""What the models say of themselves, which the Library shows in place of its documents."""

from __future__ import annotations

from app.ui.frame import registry
from app.ui.frame.page import Page, Panel
from app.ui.pages.models import actions
from app.ui.web.session import UiState


def _of_one(state: UiState) -> bool:
    return bool(state.subject) and registry.showing(state) is PAGE


PAGE = Page(
    name="models",
    title="Models",
    icon="stack",
    order=80,
    under="library",
    view="models",
    bare=True,
    main=actions.main,
    poll=actions.poll,
    around=actions.around,
    actions=actions.ACTIONS,
    panels={"model": Panel(draw=actions.pane, shown=_of_one, bare=True)},
    options=("view", *actions.FILTERS),
    alerts=("md-alert",),
    styles=("models.css",),
)
