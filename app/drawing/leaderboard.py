"""The leaderboard of an evaluation: means with their intervals, marks against the baseline, judged share, latency, failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from app.drawing import format, slots, tables
from app.drawing.controls import chip
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.results.evaluation import EvaluatedPipeline, EvaluationView, MeasureCell

JUDGED, P50, P95, NAME = "judged", "p50", "p95", "name"
LOW_JUDGED = 0.5
"""Below this share of judged hits a leaderboard says so."""
WORDS = {
    JUDGED: "Which share of the first ten hits anybody has judged. Where it is low, the other numbers say little.",
    P50: "Half of the questions take at most this long, as if the pipeline ran alone.",
    P95: "95 of 100 questions take at most this long, as if the pipeline ran alone.",
    NAME: "In the order in which they were chosen",
}
TESTS = {"randomization": "randomization test", "t": "paired t test", "wilcoxon": "Wilcoxon's signed-rank test"}
CORRECTIONS = {"holm": "Holm-corrected", "bh": "Benjamini–Hochberg-corrected", "none": "not corrected"}
TEST_CHOICES = (("randomization", "Randomization"), ("t", "Paired t"), ("wilcoxon", "Wilcoxon"))
CORRECTION_CHOICES = (("holm", "Holm"), ("bh", "Benjamini–Hochberg"), ("none", "None"))


def table(
    view: EvaluationView,
    words: Mapping[str, str],
    *,
    sort: str,
    measure: str,
    against: str,
    tests: bool = False,
    still: bool = False,
) -> Markup:
    """One row for each pipeline. `words` tell what a metric means; `measure` is the one that the charts show, `against`
    the pipeline; `tests` adds differences, p and effect sizes; `still` draws for paper, without anything to press."""
    columns = [*view.metrics, JUDGED, P50, P95]
    slot = {one.name: i for i, one in enumerate(view.pipelines)}
    best = {name: _best(view.pipelines, name) for name in columns}
    spans = {name: _span(view.pipelines, name) for name in view.metrics}
    rows = [
        el(
            "tr",
            el("th", _name(one, slot[one.name], view, one.name == against, still), scope="row", class_="lb-name"),
            [
                _measured(_cell(one, name), spans[name], view, baseline=one.name == view.baseline, best=_is(best, name, _cell(one, name)), shown=name == measure, tests=tests)
                for name in view.metrics
            ],
            [_number(one, name, best[name]) for name in (JUDGED, P50, P95)],
            class_=f"slot-{slot[one.name] % 4}",
            data_key=one.name,
        )
        for one in ordered(view, sort)
    ]  # fmt: skip
    heads = [
        _head(NAME, "Pipeline", WORDS[NAME], sort, still=still),
        *(_head(name, name, words.get(name, ""), sort, shown=name == measure, still=still) for name in view.metrics),
        _head(JUDGED, "judged@10", WORDS[JUDGED], sort, still=still),
        _head(P50, "p50", WORDS[P50], sort, still=still),
        _head(P95, "p95", WORDS[P95], sort, still=still),
    ]
    return tables.table(
        heads, rows, look="leaderboard", caption=_caption(view), region="Leaderboard", scroll="leaderboard"
    )


def ordered(view: EvaluationView, sort: str) -> list[EvaluatedPipeline]:
    """The rows: as chosen, or by one column, the best first (or, after a minus sign, the worst first). What has no value comes last."""
    name, worst = sort.removeprefix("-"), sort.startswith("-")
    rows = list(view.pipelines)
    if name == NAME:
        return rows[::-1] if worst else rows
    if name not in (*view.metrics, JUDGED, P50, P95):
        return rows
    known = [one for one in rows if _value(one, name) is not None]
    smaller_first = (name in (P50, P95)) != worst
    known.sort(key=lambda one: _value(one, name) or 0.0, reverse=not smaller_first)
    return known + [one for one in rows if _value(one, name) is None]


def _head(key: str, label: str, words: str, sort: str, *, shown: bool = False, still: bool = False) -> Markup:
    num, look = key != NAME, "is-shown" if shown else ""
    if still:
        return tables.head(label, num=num, class_=look, title=words if num else None)
    name, worst = sort.removeprefix("-"), sort.startswith("-")
    here = name == key
    smaller = key in (P50, P95, NAME)
    direction = ("ascending" if smaller != worst else "descending") if here else None
    return tables.head(
        el(
            "button",
            el("span", label),
            icon("up" if direction == "ascending" else "down") if here else None,
            type="button",
            class_=classes("sorter", "is-current" if here else ""),
            data_action="ev-sort",
            data_value=f"-{key}" if here and not worst else key,
            data_tip=words or None,
        ),
        num=num,
        class_=look,
        aria_sort=direction,
    )


def _name(one: EvaluatedPipeline, index: int, view: EvaluationView, chosen: bool, still: bool) -> Markup:
    baseline = one.name == view.baseline and len(view.pipelines) > 1
    return join(
        el(
            "span",
            slots.mark(index),
            el(
                "button",
                one.name,
                type="button",
                class_="cell-title",
                data_action="ev-against",
                data_value=one.name,
                aria_pressed=str(chosen).lower(),
                dir="auto",
                title="Show question by question how it differs from the baseline",
            )
            if not baseline and len(view.pipelines) > 1 and not still
            else el("span", one.name, class_="cell-title", dir="auto"),
            class_="lb-title",
        ),
        el(
            "span",
            chip("baseline") if baseline else None,
            chip("run", "", "A run of another system; it has no times") if one.imported else None,
            chip(f"failed on {one.failed:,}", "failed", one.error) if one.failed else None,
            class_="lb-chips",
        )
        if baseline or one.failed or one.imported
        else None,
    )


def _measured(
    cell: MeasureCell | None,
    span: tuple[float, float],
    view: EvaluationView,
    *,
    baseline: bool,
    best: bool,
    shown: bool,
    tests: bool,
) -> Markup:
    if cell is None or cell.mean is None:
        return el("td", el("span", "no value", class_="muted"), class_="num")
    bounds = "" if cell.low is None or cell.high is None else f"{cell.low:.3f}–{cell.high:.3f}"
    return el(
        "td",
        el(
            "span",
            _sign(cell, view),
            el("b" if best else "span", f"{cell.mean:.3f}", title="The best value of this column" if best else None),
            class_=classes("lb-mean", "is-best" if best else ""),
        ),
        _interval(cell, span),
        el(
            "span",
            el("span", bounds),
            el("span", f"{cell.wins}/{cell.ties}/{cell.losses}", class_="lb-record") if cell.wins is not None else None,
            class_="lb-facts",
        ),
        [el("span", line, class_="lb-tests") for line in _tests(cell)] if tests else None,
        class_=classes("num", "is-shown" if shown else ""),
        data_tip=told(cell, view, baseline=baseline),
    )


def told(cell: MeasureCell, view: EvaluationView, *, baseline: bool) -> str:
    """A cell in words: mean and interval, and how it compares with the baseline."""
    said = f"{cell.measure} {cell.mean:.4f}"
    if cell.low is not None and cell.high is not None:
        said += f", {view.level:.0%} interval {cell.low:.4f} to {cell.high:.4f}"
    if cell.condensed is not None:
        said += f"; with unjudged hits left out {cell.condensed:.4f}"
    if baseline or cell.difference is None:
        return said + "."
    said += f". Against {view.baseline}: {cell.difference:+.4f}"
    if cell.difference_low is not None and cell.difference_high is not None:
        said += f" ({cell.difference_low:+.4f} to {cell.difference_high:+.4f})"
    if cell.p_corrected is not None:
        said += f", p {_p(cell.p_corrected)} {CORRECTIONS.get(view.correction, view.correction)}"
    if cell.cohen_dz is not None:
        said += f", effect d {cell.cohen_dz:+.2f}"
    return f"{said}; better on {cell.wins}, equal on {cell.ties}, worse on {cell.losses}."


def _tests(cell: MeasureCell) -> list[str]:
    """Difference, p and effect size, a line each."""
    condensed = [] if cell.condensed is None else [f"condensed {cell.condensed:.3f}"]
    if cell.difference is None:
        return condensed
    first = f"{cell.difference:+.3f}"
    if cell.difference_low is not None and cell.difference_high is not None:
        first += f" ({cell.difference_low:+.3f} to {cell.difference_high:+.3f})"
    facts = [] if cell.p_corrected is None else [f"p {_p(cell.p_corrected)}"]
    facts += [] if cell.cohen_dz is None else [f"d {cell.cohen_dz:+.2f}"]
    return [first, *([", ".join(facts)] if facts else []), *condensed]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _sign(cell: MeasureCell, view: EvaluationView) -> Markup | None:
    if not cell.significant:
        return None
    better = cell.significant > 0
    words = f"Significantly {'better' if better else 'worse'} than {view.baseline}"
    return el(
        "span", "▲" if better else "▼", class_=f"sign {'sign-up' if better else 'sign-down'}", role="img", aria_label=words, title=words
    )  # fmt: skip


def _interval(cell: MeasureCell, span: tuple[float, float]) -> Markup | None:
    """The interval on the scale that all rows of the column share."""
    if cell.mean is None or cell.low is None or cell.high is None:
        return None
    low, high = span
    width = (high - low) or 1.0

    def at(value: float) -> float:
        return 100 * min(1.0, max(0.0, (value - low) / width))

    left, right = at(cell.low), at(cell.high)
    return el(
        "span",
        el("i", style=f"left:{left:.1f}%;width:{max(0.5, right - left):.1f}%"),
        el("b", style=f"left:{at(cell.mean):.1f}%"),
        class_="interval",
        aria_hidden="true",
    )


def _number(one: EvaluatedPipeline, name: str, best: float | None) -> Markup:
    value = _value(one, name)
    if value is None:
        return el("td", el("span", "–", class_="muted"), class_="num")
    text = f"{value:.2f}" if name == JUDGED else format.milliseconds(value)
    low = name == JUDGED and value < LOW_JUDGED
    return el(
        "td",
        el("b" if value == best and name != JUDGED else "span", text, class_="lb-low" if low else None),
        class_="num",
        title="Less than half of the first ten was judged" if low else None,
    )


def _value(one: EvaluatedPipeline, name: str) -> float | None:
    if name in (JUDGED, P50, P95):
        return {JUDGED: one.judged, P50: one.p50, P95: one.p95}[name]
    cell = _cell(one, name)
    return cell.mean if cell else None


def _cell(one: EvaluatedPipeline, measure: str) -> MeasureCell | None:
    return next((cell for cell in one.cells if cell.measure == measure), None)


def _best(pipelines: Sequence[EvaluatedPipeline], name: str) -> float | None:
    values = [value for one in pipelines if (value := _value(one, name)) is not None]
    if len(pipelines) < 2 or not values:
        return None
    pick: Callable[[list[float]], float] = min if name in (P50, P95) else max
    return pick(values)


def _is(best: dict[str, float | None], name: str, cell: MeasureCell | None) -> bool:
    return cell is not None and cell.mean is not None and cell.mean == best[name]


def _span(pipelines: Sequence[EvaluatedPipeline], measure: str) -> tuple[float, float]:
    cells = [cell for one in pipelines if (cell := _cell(one, measure)) is not None and cell.mean is not None]
    lows = [cell.low if cell.low is not None else cell.mean for cell in cells]
    highs = [cell.high if cell.high is not None else cell.mean for cell in cells]
    known = [value for value in (*lows, *highs) if value is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _caption(view: EvaluationView) -> str:
    against = f", compared with {view.baseline}" if len(view.pipelines) > 1 else ""
    return (
        f"{len(view.pipelines)} pipelines on {view.queries} judged questions of the query set {view.query_set}{against}"
    )


def legend(view: EvaluationView) -> Markup:
    """How the table is read, in one line, and what lies beyond it."""
    said = [
        f"Mean over {format.plural(view.queries, 'judged question')}; below it the {view.level:.0%} bootstrap interval."
    ]
    if len(view.pipelines) > 1:
        said.append(
            f"Questions won/tied/lost, and ▲ ▼ where p < {1 - view.level:.2g}, against {view.baseline} "
            f"({TESTS.get(view.test, view.test)}, {CORRECTIONS.get(view.correction, view.correction)})."
        )
    if view.unjudged:
        said.append(f"{format.plural(view.unjudged, 'question')} without a judgment left out.")
    return el("p", " ".join(said), class_="muted small legend-line", dir="auto")
