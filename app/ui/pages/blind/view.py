"""Blind A/B: two anonymous columns, four ways to vote, the names afterwards, and what all votes say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import cards, format, history, slots
from app.drawing.controls import button, cell_title, hit_title, icon_button, kbd, panel_head, select
from app.drawing.html import classes, el, pieces
from app.drawing.icons import icon
from app.drawing.messages import empty
from app.drawing.tables import table
from app.results.evaluation import QuerySetView
from app.results.judging import BlindResults, BlindReveal, BlindRound, BlindSession
from app.results.search import Card

VOTES = (
    ("left", "Left is better", "ArrowLeft", "←"),
    ("tie", "A tie", "t", "t"),
    ("bad", "Both are bad", "b", "b"),
    ("right", "Right is better", "ArrowRight", "→"),
)
SAID = {"left": "left", "right": "right", "tie": "a tie", "bad": "both bad"}
CUTS = (3, 5, 10)
MOST = 12
ENOUGH = 0.05


@dataclass(frozen=True, slots=True)
class Draft:
    """The comparison that would be started next."""

    first: str
    second: str
    query_set: str
    k: int


def head(collection: str, session: BlindSession | None) -> Markup:
    """Title, and the way back."""
    told = f"{format.plural(session.votes, 'vote')} so far" if session else ""
    return el(
        "div",
        el("h1", "Blind A/B"),
        el("span", collection, class_="chip", dir="auto") if collection else None,
        el("span", told, class_="muted"),
        el("span", class_="grow"),
        button("Another comparison", "bl-close", glyph="left") if session else None,
        button("Judge", "go", glyph="check", page="judge", hint="Judge one document at a time"),
        button("Compare", "go", glyph="compare", page="compare", hint="The same columns, with names"),
        class_="library-head",
    )


def setup(draft: Draft, names: Sequence[str], sets: Sequence[QuerySetView], *, write: bool) -> Markup:
    """Which two, on which questions."""
    pipelines = [(name, name) for name in names]
    questions = [
        ("", "typed as they come"),
        *((item.name, f"{item.name} ({format.plural(item.queries, 'question')})") for item in sets),
    ]
    missing = "" if draft.first and draft.second and draft.first != draft.second else "Choose two different pipelines."
    if not write:
        missing = "This workspace is open for reading only; votes cannot be kept."
    return el(
        "section",
        el("div", icon("compare"), class_="empty-art"),
        el("h2", "Which results do people prefer?"),
        el(
            "p",
            "Two pipelines answer the same question in two columns without names. Vote, then see who was who. After some votes the share of "
            "each comes with an interval and a test.",
        ),
        el(
            "div",
            _field("One pipeline", select("first", pipelines, draft.first, label="One pipeline", action="bl-set", data_name="first")),
            el("span", "or", class_="muted bl-or"),
            _field("The other", select("second", pipelines, draft.second, label="The other pipeline", action="bl-set", data_name="second")),
            _field("Questions", select("questions", questions, draft.query_set, label="Questions", action="bl-set", data_name="set")),
            _field("Shown", select("k", [(str(k), f"first {k}") for k in sorted({*CUTS, draft.k})], str(draft.k), label="Hits in each column", action="bl-set", data_name="k")),
            class_="bl-fields",
        ),
        el(
            "button", icon("play"), el("span", "Start"), type="button", class_="btn btn-primary bl-start",
            data_action="bl-start", disabled=bool(missing),
        ),
        el("p", missing, class_="muted small") if missing else None,
        class_="panel bl-setup",
        data_alert="bl-alert",
        aria_label="New comparison",
    )  # fmt: skip


def _field(name: str, control: Markup) -> Markup:
    return el("label", el("span", name), control, class_="bl-field")


def sessions(found: Sequence[BlindSession], *, write: bool) -> Markup | None:
    """Earlier comparisons, newest first."""
    if not found:
        return None
    rows = [
        el(
            "tr",
            el("td", cell_title(history.when(one.created_at), "bl-open", id=one.session_id), class_="history-when"),
            el("td", el("span", f"{one.pipelines[0]} or {one.pipelines[1]}", class_="clamp", dir="auto")),
            el("td", one.query_set or "typed", dir="auto"),
            el("td", f"{one.votes:,}", class_="num"),
            el("td", icon_button("Delete this comparison with its votes", "bl-ask-delete", "trash", id=one.session_id) if write else None),
            data_key=one.session_id,
        )
        for one in found[:MOST]
    ]  # fmt: skip
    heads = ("Started", "Between", "Questions", "Votes", "")
    return el(
        "section",
        panel_head("Earlier comparisons"),
        table(heads, rows, numbers=("Votes",), look="history"),
        class_="panel",
        aria_label="Earlier comparisons",
    )  # fmt: skip


# ---------------------------------------------------------------------- round
def ask(session: BlindSession, *, first: bool, note: str = "") -> Markup:
    """Before a round: the next question of the query set, or one that is typed."""
    following = (
        el(
            "button", icon("play"), el("span", "First question" if first else "Next question"), kbd("n"), type="button",
            class_="btn btn-primary", id="bl-next", data_action="bl-next", data_hotkey="n", aria_keyshortcuts="n",
        )
        if session.query_set and not note
        else None
    )  # fmt: skip
    typed = el(
        "form",
        el(
            "input", type="text", id="bl-query", class_="input", data_field="query", dir="auto", autocomplete="off",
            placeholder="Or a question of your own" if following else "Type a question and press Enter", aria_label="Question", maxlength="2000",
        ),
        el("button", "Ask", type="submit", class_="btn" if following else "btn btn-primary"),
        class_="bl-form",
        data_form=True,
        data_action="bl-next",
        data_alert="bl-alert",
    )  # fmt: skip
    return el(
        "div",
        el("div", following, typed, class_="bl-ask"),
        el("p", note, class_="muted small") if note else None,
        data_alert="bl-alert",
    )


def round_(shown: BlindRound, reveal: BlindReveal | None, session: BlindSession) -> Markup:
    """Two columns; before the vote without names, after it with them."""
    sides = [
        _side("left", shown.left, reveal.left if reveal else "", reveal, session),
        _side("right", shown.right, reveal.right if reveal else "", reveal, session),
    ]
    return el(
        "section",
        el(
            "div",
            el("p", f"Question {shown.round_no:,}", class_="jd-label"),
            el("h2", shown.query, dir="auto"),
            class_="bl-question",
        ),
        el("div", sides, class_="bl-columns", data_scroll=f"blind-{shown.session_id}-{shown.round_no}"),
        class_=classes("bl-round", "is-told" if reveal else ""),
        aria_label="Round",
    )


def _side(side: str, hits: Sequence[Card], name: str, reveal: BlindReveal | None, session: BlindSession) -> Markup:
    slot = session.pipelines.index(name) if name in session.pipelines else 0
    preferred = reveal is not None and reveal.vote == side
    title = (
        el("h3", slots.mark(slot), el("span", name, dir="auto"), el("span", "your choice", class_="chip chip-relevant") if preferred else None)
        if reveal
        else el("h3", side.capitalize())
    )  # fmt: skip
    return el(
        "section",
        el("header", title, class_="bl-head"),
        el("ol", [_hit(card) for card in hits], class_="bl-hits")
        if hits
        else el("p", "Nothing was found.", class_="column-none"),
        class_=classes("bl-side", f"slot-{slot}" if reveal else "", "is-preferred" if preferred else ""),
        aria_label=name or side.capitalize(),
    )


def _hit(card: Card) -> Markup:
    title = cards.title_text(card.title, card.doc_id)
    return el(
        "li",
        el("span", card.rank, class_="hit-rank"),
        el(
            "div",
            hit_title(title, card.doc_id, tip=title),
            cards.byline(card.authors, card.year, card.venue, 1),
            el("p", pieces(cards.from_match(card.snippet)), class_="hit-snippet", dir="auto") if card.snippet else None,
            class_="hit-body",
        ),
        class_="bl-hit",
        data_key=card.doc_id,
    )  # fmt: skip


def votes(shown: BlindRound, *, write: bool) -> Markup:
    """The four buttons."""
    if not write:
        return el("p", "This workspace is open for reading only; votes cannot be kept.", class_="muted")
    return el(
        "div",
        [
            el(
                "button", el("span", words), kbd(key), type="button", class_=classes("btn", "bl-vote", f"v-{choice}"),
                data_action="bl-vote", data_choice=choice, data_round=shown.round_no, data_hotkey=hotkey, aria_keyshortcuts=hotkey,
            )
            for choice, words, hotkey, key in VOTES
        ],
        class_="bl-votes",
        role="group",
        aria_label="Vote",
        data_alert="bl-alert",
    )  # fmt: skip


def told(reveal: BlindReveal) -> Markup:
    """What the vote was for, in a sentence."""
    if reveal.preferred:
        sentence = [
            "You preferred ",
            el("b", reveal.preferred, dir="auto"),
            f" ({reveal.vote}) to {reveal.right if reveal.vote == 'left' else reveal.left}.",
        ]
    else:
        sentence = [f"You said {SAID[reveal.vote]}: left was {reveal.left}, right was {reveal.right}."]
    return el("p", *sentence, class_="bl-told", role="status")


# -------------------------------------------------------------------- results
def results(found: BlindResults) -> Markup | None:
    """Shares with their interval, the sign test in words, and every vote."""
    if not found.rounds:
        return None
    first, second = found.session.pipelines
    won, lost = found.wins
    return el(
        "section",
        panel_head("What the votes say", said=format.plural(len(found.rounds), "vote")),
        el(
            "div",
            el("span", slots.mark(0), el("b", first, dir="auto"), f" {won:,}", class_="bl-name slot-0"),
            el("span", f"{second} ", el("b", f"{lost:,}"), slots.mark(1), class_="bl-name slot-1", dir="auto"),
            class_="bl-names",
        ),
        _bar(found),
        el("p", _verdict(found), class_="bl-verdict"),
        el("p", f"{format.plural(found.ties, 'tie')}, {found.bad:,} times both bad; they are in no share.", class_="muted small"),
        _list(found.rounds),
        class_="panel bl-results",
        aria_label="What the votes say",
    )  # fmt: skip


def _bar(found: BlindResults) -> Markup | None:
    if found.share is None or found.low is None or found.high is None:
        return None
    first = found.session.pipelines[0]
    label = f"{first}: {100 * found.share:.0f}%, {100 * found.level:.0f}% interval {100 * found.low:.0f} to {100 * found.high:.0f}%"
    return el(
        "div",
        el("i", class_="bl-share", style=f"width:{100 * found.share:.2f}%"),
        el("i", class_="bl-interval", style=f"left:{100 * found.low:.2f}%;width:{100 * (found.high - found.low):.2f}%"),
        el("i", class_="bl-half"),
        class_="bl-bar",
        role="img",
        aria_label=label,
        title=label,
    )


def _verdict(found: BlindResults) -> str:
    """The share of who was preferred more often, its interval, and whether it is more than chance."""
    if found.share is None or found.low is None or found.high is None or found.p is None:
        return "No vote preferred one of them yet."
    first, second = found.session.pipelines
    ahead = found.share >= 0.5
    name, share = (first, found.share) if ahead else (second, 1 - found.share)
    low, high = (found.low, found.high) if ahead else (1 - found.high, 1 - found.low)
    votes = sum(found.wins)
    start = f"{name} was preferred in {100 * share:.0f}% of {format.plural(votes, 'vote')} ({100 * found.level:.0f}% interval {100 * low:.0f} to {100 * high:.0f}%)"
    p = f"p = {found.p:.3f}" if found.p >= 0.001 else "p < 0.001"
    if found.p < ENOUGH:
        return f"{start}: more than chance (sign test, {p})."
    return f"{start}: this could be chance (sign test, {p})."


def _list(rounds: Sequence[BlindReveal]) -> Markup:
    rows = [
        el(
            "tr",
            el("td", one.round_no, class_="num"),
            el("td", el("span", one.query, class_="clamp", dir="auto")),
            el("td", one.left, dir="auto"),
            el("td", one.right, dir="auto"),
            el("td", el("b", one.preferred, dir="auto") if one.preferred else SAID.get(one.vote, one.vote)),
            data_key=one.round_no,
        )
        for one in reversed(rounds)
    ]
    heads = ("#", "Question", "Left", "Right", "Vote")
    return el(
        "details",
        el("summary", "Every vote"),
        table(heads, rows, numbers=("#",), look="history"),
        class_="bl-list",
        data_key="bl-list",
    )  # fmt: skip


def few(names: Sequence[str]) -> Markup:
    """A blind comparison needs two pipelines."""
    return empty(
        "compare",
        "Two pipelines are needed",
        f"There is {names[0]} only." if names else "There is no pipeline yet.",
        button("Edit pipelines in Compare", "go", look="primary", page="compare"),
    )
