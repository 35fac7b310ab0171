"""What the Judge page says of itself, with the pane of judgments."""

from __future__ import annotations

from app.ui.frame.page import Page, Panel
from app.ui.pages.judge import actions, judging

PAGE = Page(
    name="judge",
    title="Judge",
    icon="check",
    order=50,
    key="j",
    keys=((("s", "u", "n", "w"), "Skip, undo, write a note, show who found it (Judge)"),),
    head=actions.head,
    main=actions.main,
    blind=True,
    poll=actions.progress,
    actions={**actions.ACTIONS, **judging.ACTIONS},
    panels={actions.PANEL: Panel(draw=actions.pane)},
    options=("who", "queue", "at", "skipped", "after", "seen", "pipe", "again", *actions.SETTINGS),
    carried=("who",),
    alerts=("jd-alert",),
    styles=("evaluate.css", "judge.css"),
)
