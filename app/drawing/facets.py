"""Facets with counts: a histogram for years, lists for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import button
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.results.search import Facet, FacetValue

MAX_BARS = 32


def bins(values: Sequence[tuple[int, int]], most: int = MAX_BARS) -> list[tuple[int, int, int]]:
    """Group (year, count) pairs into at most `most` equal spans without gaps: (first year, last year, count)."""
    if not values:
        return []
    first, last = min(year for year, _ in values), max(year for year, _ in values)
    width = -(-(last - first + 1) // most)
    totals = [0] * (-(-(last - first + 1) // width))
    for year, number in values:
        totals[(year - first) // width] += number
    return [(first + i * width, min(last, first + (i + 1) * width - 1), total) for i, total in enumerate(totals)]


def panel(facets: Sequence[Facet], filters: Sequence[tuple[str, tuple[str, ...]]], wide: Sequence[str] = ()) -> Markup:
    """The whole facet column. Chosen values stay listed even where nothing is left under them; fields in `wide` are at their full length."""
    chosen = dict(filters)
    parts = [
        _years(facet, chosen.get("year", ())) if facet.field == "year" else _values(facet, chosen, facet.field in wide)
        for facet in facets
    ]
    return join(
        el(
            "div",
            el("h2", icon("filter"), "Filters"),
            button("Clear", "clear-filters", look="quiet") if chosen else None,
            class_="facets-head",
        ),
        parts if any(parts) else el("p", "Nothing to filter by yet.", class_="muted"),
    )


def _years(facet: Facet, chosen: tuple[str, ...]) -> Markup | None:
    values = [(int(v.value), v.count) for v in facet.values if v.value.lstrip("-").isdigit()]
    bars = bins(values)
    if not bars:
        return None
    top = max(number for _, _, number in bars) or 1
    low, high = (int(chosen[0]), int(chosen[-1])) if chosen else (bars[0][0], bars[-1][1])
    drawn = [
        el(
            "span",
            el("i", style=f"height:{max(3.0, 100 * number / top):.1f}%" if number else "height:0"),
            class_=classes("bar", "in" if last >= low and first <= high else ""),
            data_low=first,
            data_high=last,
            title=f"{first if first == last else f'{first}–{last}'}: {format.plural(number, 'document')}",
        )
        for first, last, number in bars
    ]
    return el(
        "section",
        el("h3", facet.title),
        el("div", drawn, class_="years", data_years=True, aria_hidden="true"),
        el(
            "form",
            el(
                "input",
                type="number",
                class_="year",
                data_field="low",
                value=low,
                min=0,
                max=9999,
                aria_label="First year",
            ),
            el("span", "–", aria_hidden="true"),
            el(
                "input",
                type="number",
                class_="year",
                data_field="high",
                value=high,
                min=0,
                max=9999,
                aria_label="Last year",
            ),
            el("button", "Set", type="submit", class_="btn btn-small"),
            class_="year-form",
            data_form=True,
            data_action="years",
            novalidate=True,
        ),
        class_="facet",
        data_key="facet-year",
    )


def _values(facet: Facet, chosen: dict[str, tuple[str, ...]], wide: bool) -> Markup | None:
    picked = chosen.get(facet.field, ())
    listed = {value.value for value in facet.values}
    values = [FacetValue(value, 0, True) for value in picked if value not in listed] + list(facet.values)
    if not values:
        return None
    top = max(value.count for value in values) or 1
    rows = [
        el(
            "li",
            el(
                "label",
                el(
                    "input",
                    type="checkbox",
                    checked=value.value in picked,
                    data_change="filter",
                    data_name=facet.field,
                    data_value=value.value,
                ),
                el("span", value.value, class_="facet-name", dir="auto", title=value.value),
                el("span", format.count(value.count), class_="facet-count"),
                el("i", class_="facet-bar", style=f"width:{100 * value.count / top:.1f}%", aria_hidden="true"),
            ),
            data_key=value.value,
        )
        for value in values
    ]
    return el(
        "section",
        el("h3", facet.title),
        el("ul", rows, data_scroll=f"facet-{facet.field}" if wide else None),
        _further(facet) if wide and facet.more else None,
        button(
            "Fewer" if wide else f"{format.count(facet.more)}{'+' if facet.cut else ''} more",
            "facet",
            look="quiet",
            hint=f"{facet.title}: {'only the most frequent values' if wide else 'more values'}",
            name=facet.field,
        )
        if wide or facet.more
        else None,
        class_=classes("facet", "is-wide" if wide else ""),
        data_key=f"facet-{facet.field}",
    )


def _further(facet: Facet) -> Markup:
    words = f"and {'more than ' if facet.cut else ''}{format.plural(facet.more, 'further value')}; a query narrows them"
    return el("p", words, class_="muted small")
