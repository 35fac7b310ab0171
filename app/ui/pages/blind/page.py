"""What the blind comparison says of itself."""

from __future__ import annotations

from app.ui.frame.page import Page
from app.ui.pages.blind import actions

PAGE = Page(
    name="blind",
    title="Blind",
    icon="compare",
    order=60,
    under="judge",
    head=actions.head,
    main=actions.main,
    blind=True,
    actions=actions.ACTIONS,
    options=("who", "session", "round", *actions.SETTINGS),
    carried=("who",),
    alerts=("bl-alert",),
    styles=("evaluate.css", "judge.css"),
)
