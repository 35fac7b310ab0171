"""The frame of a report, and the tables that say what was compared, what it ran, and where the numbers come from."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.html import clean, el, join
from app.drawing.icons import ui_assets
from app.drawing.leaderboard import CORRECTIONS, TESTS
from app.drawing.tables import table
from app.results.evaluation import EvaluationView, MeasureCell, QueryValues
from app.results.report import Origin
from app.results.search import CompareResult, Ledger

MOST_ROWS = 1_000
LIGHT, DARK = (
    re.compile(rf"^{re.escape(head)} \{{\n(.*?)\n\}}", re.M | re.S) for head in (":root", ':root[data-theme="dark"]')
)
POLICY = "default-src 'none'; style-src-elem 'sha256-{digest}'; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Nothing may be fetched or run; the one style sheet is known by its hash."""

Section = tuple[str, str, Markup | None]
"""(anchor, title, content); those without content are left out."""


@cache
def style() -> str:
    """The style sheet of reports: the colors of the interface, light or dark as the reader's system is, then the report's own rules."""
    tokens = (ui_assets() / "triptych.css").read_text(encoding="utf-8")
    heat = (ui_assets() / "evaluate.css").read_text(encoding="utf-8")
    light, dark = LIGHT.search(tokens), DARK.search(tokens)
    assert light
    assert dark
    heats = re.findall(r"(--heat-\w+: [^;]+;)", heat)
    half = len(heats) // 2
    families = "\n".join(line for line in tokens.splitlines() if line.startswith(".slot-"))
    own = (ui_assets() / "report.css").read_text(encoding="utf-8")
    return (
        f":root {{\n{light[1]}\n{' '.join(heats[:half])}\n}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{\n{dark[1]}\n{' '.join(heats[half:])}\n}} }}\n{families}\n{own}"
    )


def page(title: str, head: Markup, sections: Sequence[Section], origin: Origin) -> str:
    """The whole file: it fetches nothing, runs nothing, and can be read without a network."""
    shown = [section for section in sections if section[2] is not None]
    sheet = style()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    made = f"Made by Triptych {origin.version} on {origin.made_at}."
    body = el(
        "main",
        el("header", head, class_="report-head"),
        el("nav", [el("a", name, href=f"#{anchor}") for anchor, name, _ in shown], aria_label="Sections")
        if len(shown) > 2
        else None,
        [el("section", el("h2", name), content, id=anchor) for anchor, name, content in shown],
        el("footer", made, " This file holds everything it shows; nothing is fetched.", class_="muted small"),
    )
    meta = join(
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY.format(digest=digest)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="generator", content=f"Triptych {origin.version}"),
        el("title", clean(title)),
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{meta}<style>{sheet}</style></head>\n<body>{body}</body>\n</html>\n'
    )


def chips(facts: Sequence[str]) -> Markup:
    """Facts in a row."""
    return el("p", [el("span", fact, class_="chip", dir="auto") for fact in facts if fact], class_="facts")


def comparisons(view: EvaluationView) -> Markup | None:
    """Every comparison with the baseline: difference, interval, p, effect sizes, wins, ties and losses."""
    if len(view.pipelines) < 2:
        return None
    numbers = (
        "Difference",
        f"{view.level:.0%} interval",
        "p",
        "p corrected",
        "Cohen's d",
        "Hedges' g",
        "Won",
        "Tied",
        "Lost",
    )
    rows = []
    for measure in view.metrics:
        for i, one in enumerate(view.pipelines):
            cell = next((cell for cell in one.cells if cell.measure == measure), None)
            if one.name == view.baseline or cell is None:
                continue
            rows.append(_compared(measure, i, one.name, cell))
    return join(
        el(
            "p",
            f"Against {view.baseline}: paired {TESTS.get(view.test, view.test)} over {format.plural(view.queries, 'question')}, "
            f"{CORRECTIONS.get(view.correction, view.correction)}. Significant means p corrected < {1 - view.level:.2g}.",
            class_="muted",
            dir="auto",
        ),
        table(("Metric", "Pipeline", *numbers, "Verdict"), rows, numbers=numbers),
    )  # fmt: skip


def _compared(measure: str, index: int, name: str, cell: MeasureCell) -> Markup:
    interval = (
        "–"
        if cell.difference_low is None or cell.difference_high is None
        else f"{cell.difference_low:+.4f} to {cell.difference_high:+.4f}"
    )
    verdict = {1: "better", -1: "worse"}.get(cell.significant, "no significant difference")
    look = {1: "up-text", -1: "down-text"}.get(cell.significant, "muted")
    return el(
        "tr",
        el("td", measure),
        el("td", slots.mark(index), el("span", name, dir="auto")),
        el("td", _signed(cell.difference), class_="num"),
        el("td", interval, class_="num"),
        [el("td", _p(value), class_="num") for value in (cell.p, cell.p_corrected)],
        [el("td", "–" if value is None else f"{value:+.2f}", class_="num") for value in (cell.cohen_dz, cell.hedges_g)],
        [el("td", "–" if value is None else f"{value:,}", class_="num") for value in (cell.wins, cell.ties, cell.losses)],
        el("td", verdict, class_=look),
    )  # fmt: skip


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def condensed(view: EvaluationView) -> Markup | None:
    """Means of the lists without unjudged hits, and bpref: what is left where judgments have gaps."""
    known = any(
        one.bpref is not None or any(cell.condensed is not None for cell in one.cells) for one in view.pipelines
    )
    if not known:
        return None
    heads = (*view.metrics, "bpref")
    rows = []
    for i, one in enumerate(view.pipelines):
        by_measure = {cell.measure: cell.condensed for cell in one.cells}
        numbers = [*(by_measure.get(name) for name in view.metrics), one.bpref]
        cells = [el("td", "–" if value is None else f"{value:.3f}", class_="num") for value in numbers]
        rows.append(el("tr", el("td", slots.mark(i), el("span", one.name, dir="auto")), cells))
    return join(el("h3", "With unjudged hits left out"), table(("Pipeline", *heads), rows, numbers=heads))


def values(rows: Sequence[QueryValues], names: Sequence[str], measure: str) -> Markup | None:
    """The measure of every question, the largest difference first; folded."""
    if not rows:
        return None
    shown = rows[:MOST_ROWS]
    drawn = [
        el(
            "tr",
            el("td", el("code", row.qid)),
            el("td", row.text, dir="auto"),
            [el("td", "failed" if (cell := row.values.get(name)) is None else f"{cell:.4f}", class_="num") for name in names],
        )
        for row in shown
    ]  # fmt: skip
    more = len(rows) - len(shown)
    return el(
        "details",
        el("summary", f"{measure} of {format.plural(len(rows), 'question')}, those on which the pipelines differ most first"),
        table(("Id", "Question", *names), drawn, numbers=names),
        el("p", f"and {more:,} more, on which they differ less", class_="muted small") if more else None,
    )  # fmt: skip


def failures(view: EvaluationView, most: int = 20) -> Markup | None:
    """Where a pipeline failed; those questions are in no mean."""
    if not view.failures:
        return None
    rows = [
        el("tr", el("td", one.pipeline, dir="auto"), el("td", el("code", one.qid)), el("td", one.error, dir="auto"))
        for one in view.failures[:most]
    ]
    more = len(view.failures) - len(rows)
    count = len({one.qid for one in view.failures})
    return el(
        "div",
        el("p", el("b", f"A pipeline failed on {format.plural(count, 'question')}"), ", which are in no mean."),
        table(("Pipeline", "Question", "Why"), rows),
        el("p", f"and {more:,} more", class_="muted small") if more else None,
        class_="box box-warn",
    )


def configuration(pipelines: Sequence[tuple[str, str]]) -> Markup:
    """Every pipeline as it ran; "" stands for a run of another system."""
    return el(
        "div",
        [
            el(
                "div",
                el("h3", slots.mark(i), el("span", name, dir="auto")),
                el("pre", text) if text else el("p", "A run of another system.", class_="muted"),
                class_=f"slot-{i % 4}",
            )
            for i, (name, text) in enumerate(pipelines)
        ],
        class_="yamls",
    )


def origin(found: Origin) -> Markup:
    """Commands, hashes and fingerprints."""
    facts = [join(el("dt", name), el("dd", el("code", value))) for name, value in found.facts]
    rows = [
        el("tr", el("td", label), el("td", el("code", stamp) if stamp else el("span", "not built", class_="muted")))
        for label, stamp in found.fingerprints.items()
    ]
    commands = [
        el("li", el("span", words, class_="muted small", dir="auto"), el("pre", command))
        for words, command in found.commands
    ]
    return join(
        el("ul", commands, class_="commands") if commands else None,
        el("dl", facts, class_="origin"),
        table(("Index", "Built with (model and settings @ state of the documents)"), rows) if rows else None,
    )


def agreement(result: CompareResult) -> Markup | None:
    """How far the columns agree on their first hits."""
    names = [column.pipeline.name for column in result.columns]
    rows = [
        el(
            "tr",
            el("td", slots.mark(one.left), el("span", names[one.left], dir="auto")),
            el("td", slots.mark(one.right), el("span", names[one.right], dir="auto")),
            el("td", f"{one.shared}/{result.k}", class_="num"),
            el("td", f"{one.jaccard:.3f}", class_="num"),
            el("td", f"{one.rbo:.3f}", class_="num"),
        )
        for one in result.agreement
    ]
    heads = ("Shared", "Jaccard", "RBO")
    return table(("Pipeline", "and", *heads), rows, numbers=heads) if rows else None


def latency(result: CompareResult) -> Markup:
    """What each stage of each column took."""
    heads = ("Rows in", "Rows out", "Time")
    rows = []
    for i, column in enumerate(result.columns):
        name = el("th", slots.mark(i), el("span", column.pipeline.name, dir="auto"), scope="rowgroup", colspan=3)
        rows.append(
            el("tr", name, el("td", el("b", format.milliseconds(column.took_ms)), class_="num"), class_=f"slot-{i % 4}")
        )
        rows += [
            el(
                "tr",
                el("td", stage.label, " (run once for several columns)" if stage.cached else None, class_="indent"),
                el("td", f"{stage.rows_in:,}", class_="num"),
                el("td", f"{stage.rows_out:,}", class_="num"),
                el("td", format.milliseconds(stage.ms), class_="num"),
            )
            for stage in column.stages
        ]  # fmt: skip
    return table(("Stage", *heads), rows, numbers=heads)


def ledgers(found: Sequence[Ledger], slot: Mapping[str, int]) -> Markup | None:
    """What each list gave to each fused hit, of every pipeline that fuses."""
    return join(_ledger(one, slot.get(one.pipeline, 0)) for one in found if one.rows) if found else None


def _ledger(found: Ledger, index: int) -> Markup:
    heads = [part for name in found.inputs for part in (name, "raw", "adds")]
    rows = [
        el(
            "tr",
            el("td", row.rank, class_="num"),
            el("td", row.title or row.doc_id, dir="auto"),
            [
                (
                    el("td", "–" if entry.rank is None else f"#{entry.rank}", class_="num"),
                    el("td", "" if entry.raw is None else format.score(entry.raw), class_="num muted"),
                    el("td", format.score(entry.contribution) if entry.contribution else "", class_="num"),
                )
                for entry in row.entries
            ],
            el("td", el("b", format.score(row.score)), class_="num"),
        )
        for row in found.rows
    ]
    return join(
        el("h3", slots.mark(index), el("span", found.pipeline, dir="auto"), class_=f"slot-{index % 4}"),
        el("p", el("b", found.method), " ", el("code", found.formula)),
        table(("#", "Document", *heads, "Fused"), rows, numbers=("#", *heads, "Fused")),
    )
