"""What the Evaluate page draws: the right rows, marks, bars and cells, and labels that keep out of each other's way."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from fake_evaluation import LONG, MEASURES, NAMES, FakeEvaluations, rows, view
from hypothesis import given
from hypothesis import strategies as st
from test_html import read

from app.drawing import charts, evaluated, evaluated_tables, history, leaderboard, scatter, slots
from app.results.evaluation import EvaluationView, QuerySetView, QueryValues
from app.results.search import PipelineView
from app.ui.pages.evaluate import view as evaluate


def names_of(found: EvaluationView, sort: str) -> list[str]:
    return [one.name for one in leaderboard.ordered(found, sort)]


def test_the_leaderboard_is_sorted_by_any_column_and_what_has_no_value_is_last() -> None:
    assert names_of(view(), "name") == list(NAMES)
    assert names_of(view(), "nDCG@10")[:2] == [LONG, "Hybrid"]
    assert names_of(view(), "-nDCG@10")[0] == "опытный поиск"
    assert names_of(view(), "p50")[0] == "BM25"
    assert names_of(view(), "p50")[-1] == "their-system"
    assert names_of(view(), "-p50")[-1] == "their-system"
    assert names_of(view(), "-name") == list(reversed(NAMES))
    assert names_of(view(), "<script>") == list(NAMES)


def drawn(**options: object) -> str:
    given = {"sort": "name", "measure": "AP", "against": "Hybrid"} | options
    return str(leaderboard.table(view(), {"AP": "What AP tells."}, **given))  # type: ignore[arg-type]


def test_best_values_marks_and_records_are_in_the_table() -> None:
    seen = read(drawn())
    best = re.findall(r'lb-mean is-best">.*?<b title[^>]*>([\d.]+)</b>', drawn())
    assert best == ["0.610", "0.650", "0.690", "0.730"], "one in each column, all of the fourth pipeline"
    labels = [attributes.get("aria-label") for _, attributes in seen.tags]
    assert labels.count("Significantly better than BM25") == 8, "Hybrid and the long one, in four columns"
    assert labels.count("Significantly worse than BM25") == 4
    assert "30/5/5" in seen.text
    assert "failed on 2" in seen.text
    assert seen.text.count("baseline") == 1


def test_a_column_says_how_it_is_sorted() -> None:
    def told(sort: str) -> list[tuple[str | None, str | None]]:
        heads = [attributes for tag, attributes in read(drawn(sort=sort)).tags if tag == "th"]
        return [(one.get("aria-sort"), one.get("scope")) for one in heads if one.get("aria-sort")]

    assert told("AP") == [("descending", "col")]
    assert told("-AP") == [("ascending", "col")]
    assert told("p50") == [("ascending", "col")]
    assert told("name") == [("ascending", "col")]


def test_tests_are_shown_when_asked_for() -> None:
    assert "p &lt; 0.001, d +0.39" not in drawn()
    assert "p &lt; 0.001, d +0.39" in drawn(tests=True)
    assert "+0.130 (+0.100 to +0.160)" in drawn(tests=True)
    assert "condensed 0.490" in drawn(tests=True)


def test_a_cell_in_words() -> None:
    cell = view().pipelines[2].cells[0]
    assert leaderboard.told(cell, view(), baseline=False) == (
        "nDCG@10 0.5800, 95% interval 0.5300 to 0.6300; with unjudged hits left out 0.5900. Against BM25: +0.1000 (+0.0700 to +0.1300), "
        "p < 0.001 Holm-corrected, effect d +0.30; better on 30, equal on 5, worse on 5."
    )


def test_one_pipeline_alone_has_no_baseline_and_no_best() -> None:
    alone = view(pipelines=view().pipelines[:1])
    html = str(leaderboard.table(alone, {}, sort="name", measure="AP", against=""))
    assert "baseline" not in html
    assert "is-best" not in html
    assert "against" not in str(leaderboard.legend(alone))


# ---------------------------------------------------------------- differences
def made(values: dict[str, tuple[float | None, float | None]]) -> list[QueryValues]:
    return [QueryValues(qid, qid, {"a": a, "b": b}, 0.0) for qid, (a, b) in values.items()]


def test_differences_are_ordered_and_failures_left_out() -> None:
    found = charts.differences(
        made({"1": (0.5, 0.4), "2": (0.2, 0.9), "3": (None, 0.5), "4": (1.0, 0.0), "5": (0.5, 0.5)}), "a", "b"
    )
    assert [(one.row.qid, round(one.difference, 6)) for one in found] == [
        ("4", 1.0),
        ("1", 0.1),
        ("5", 0.0),
        ("2", -0.7),
    ]


def test_bars_are_to_scale_on_both_sides_and_say_the_score() -> None:
    found = charts.differences(made({"1": (0.5, 0.4), "2": (0.2, 0.6), "4": (0.8, 0.0), "5": (0.5, 0.5)}), "a", "b")
    html = str(charts.bars(found, "a", "b", "AP", 2))
    bars = [a for _, a in read(html).tags if (a.get("class") or "").startswith("bar-q")]
    assert [(bar["class"], bar["data-qid"]) for bar in bars] == [
        ("bar-q up", "4"),
        ("bar-q up", "1"),
        ("bar-q tie", "5"),
        ("bar-q down", "2"),
    ]
    heights = [float(a["style"].split(":")[1]) for tag, a in read(html).tags if tag == "i"]  # type: ignore[union-attr]
    assert heights == [1.0, pytest.approx(0.125, abs=1e-3), 0.0, 1.0]
    assert "--zero:66.7%" in html, "gains reach twice as far as losses"
    assert "better on 2, equal on 1, worse on 1" in html
    assert bars[0]["data-tip"] == "4: 4 — +0.800 (a 0.800, b 0.000)"


def test_thousands_of_questions_are_cut_in_the_middle_and_said() -> None:
    found = charts.differences(made({f"{i:04d}": (i / 5000, 0.5) for i in range(5000)}), "a", "b")
    html = str(charts.bars(found, "a", "b", "AP", 0))
    shown = re.findall(r'data-qid="(\d+)"', html)
    assert len(shown) == charts.MOST_BARS
    assert (shown[0], shown[-1]) == ("4999", "0000")
    assert "4,100 between" in html
    assert "better on 2,499, equal on 1, worse on 2,500" in html


def test_bars_without_any_common_question() -> None:
    assert "No question was answered by both" in str(charts.bars([], "a", "b", "AP", 0))


# -------------------------------------------------------------------- scatter
spots = st.tuples(
    st.floats(scatter.LEFT, scatter.WIDTH - scatter.RIGHT), st.floats(scatter.TOP, scatter.HEIGHT - scatter.BOTTOM)
)


@given(st.lists(st.tuples(spots, st.floats(20, 190)), min_size=1, max_size=6))
def test_labels_keep_out_of_each_others_way_and_inside(points: list[tuple[tuple[float, float], float]]) -> None:
    places = [place for place, _ in points]
    boxes = scatter.label_places(places, [width for _, width in points], [(x, y - 5, y + 5) for x, y in places])
    for box, (_, width) in zip(boxes, points, strict=True):
        assert box[2] - box[0] == pytest.approx(width)
        assert box[0] >= scatter.LEFT - 4
        assert box[2] <= scatter.WIDTH
        assert 0 <= box[1] < box[3] <= scatter.HEIGHT
    for a, b in itertools.combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (a, b)


def test_a_label_stands_right_of_its_point_where_there_is_room() -> None:
    (box,) = scatter.label_places([(100.0, 150.0)], [60.0], [(100.0, 140.0, 160.0)])
    assert box[0] == pytest.approx(113.0)
    assert (box[1] + box[3]) / 2 == pytest.approx(150.0)


def test_the_scatter_plot_leaves_out_what_has_no_latency_and_says_everything_in_words() -> None:
    found = scatter.points(view().pipelines, "AP")
    assert [point.name for point in found] == list(NAMES[:5])
    seen = read(str(scatter.drawing(found, "AP")))
    svg = next(attributes for tag, attributes in seen.tags if tag == "svg")
    assert svg["role"] == "img"
    assert "BM25: AP 0.520, 1.4 ms" in (svg["aria-label"] or "")
    assert sum(tag == "circle" for tag, _ in seen.tags) == 5
    assert "no times" in str(scatter.drawing([], "AP"))


@given(st.floats(0.05, 20_000), st.floats(1, 500))
def test_the_latency_scale_holds_all_values(low: float, factor: float) -> None:
    start, end = scatter._decade(low, low * factor)
    assert start <= low
    assert end >= low * factor
    assert end / start >= 4


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_scale_of_values_has_round_steps_around_them(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    start, end, step = scatter._scale(low, high)
    assert start <= low + 1e-9
    assert end >= high - 1e-9
    assert 1 <= round((end - start) / step) <= 7


# ------------------------------------------------------------------- heat map
def test_the_heat_map_groups_by_tag_the_largest_first_and_the_easiest_question_first() -> None:
    table = [QueryValues(str(i), "", {"a": v, "b": v}, 0.0) for i, v in enumerate((0.1, 0.9, 0.5, 0.4))]
    groups = charts.grouped(table, {"0": "x", "1": "x", "2": "y"})
    assert {name: [row.qid for row in part] for name, part in groups.items()} == {
        "x": ["1", "0"],
        "y": ["2"],
        "": ["3"],
    }
    assert list(groups) == ["x", "y", ""]


def test_a_failed_question_is_hatched_and_never_a_zero() -> None:
    html = str(charts.heat(rows(10), NAMES, {}, "AP", ""))
    assert html.count("is-failed") == 2
    assert "опытный поиск failed" in html
    assert html.count('role="button"') == 10
    assert html.count("--h:") == 58


def test_a_large_set_shows_where_pipelines_differ_most_and_means_over_all() -> None:
    table = [QueryValues(f"{i:05d}", "", {"a": 0.0, "b": i / 2000}, i / 2000) for i in range(2000)]
    html = str(charts.heat(table, ("a", "b"), {}, "AP", ""))
    assert html.count('role="button"') == charts.MOST_CELLS
    assert 'data-qid="01999"' in html
    assert 'data-qid="00000"' not in html
    assert "The 1,200 of 2,000 questions" in html
    assert "b: mean 0.50" in html


def test_fields_that_group_are_those_with_few_values_that_repeat() -> None:
    tags = [{"topic": "ab"[i % 2], "id": str(i), "one": "x"} for i in range(10)]
    assert evaluated.groupings([QueryValues(str(i), "", {}, 0.0, tag) for i, tag in enumerate(tags)]) == ["topic"]


def test_more_than_four_pipelines_are_told_apart() -> None:
    shapes = [slots.shape(i) for i in range(10)]
    assert len(set(shapes)) == 10
    assert shapes[8:] == ["9", "10"]


# ---------------------------------------------------------------- setup, rest
SETS = (QuerySetView("default", 40, 38, 512), QuerySetView("nur Fragen", 12, 0, 0))
PIPELINES = tuple(PipelineView(name, i, "", name) for i, name in enumerate(("BM25", "Dense", "Hybrid")))
DRAFT = evaluate.Draft("default", ("Dense", "BM25"), (), ("AP",), "Dense", "t", "bh")


def planned(draft: evaluate.Draft, *, write: bool = True) -> str:
    metrics = FakeEvaluations().metrics()
    return str(evaluate.setup(draft, SETS, PIPELINES, metrics, opened=True, write=write))


def test_the_setup_shows_what_is_chosen_and_what_metrics_tell() -> None:
    seen = read(planned(DRAFT))
    checked = [a["data-value"] for tag, a in seen.tags if tag == "input" and "checked" in a]
    assert checked == ["BM25", "Dense", "AP"]
    tips = [a["data-tip"] for tag, a in seen.tags if tag == "label" and a.get("data-key") == "metric-AP"]
    assert tips == ["What AP tells. (How AP is computed.)"]
    assert "38 judged questions × 2 pipelines" in seen.text


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        (replace(DRAFT, pipelines=()), "Choose at least one pipeline."),
        (replace(DRAFT, metrics=()), "Choose at least one metric."),
        (replace(DRAFT, query_set="nur Fragen"), "Judgments are needed for an evaluation."),
        (replace(DRAFT, query_set="gone"), "Choose a query set."),
    ],
)
def test_what_cannot_run_says_why(draft: evaluate.Draft, why: str) -> None:
    seen = read(planned(draft))
    run = next(a for _, a in seen.tags if a.get("data-action") == "ev-run")
    assert "disabled" in run
    assert why in seen.text


def test_a_read_only_workspace_offers_no_run() -> None:
    assert "ev-run" not in planned(DRAFT, write=False)


def test_the_table_of_questions_pages_and_orders_by_difference() -> None:
    table = made({f"{i:02d}": (0.5 + i / 100, 0.5) for i in range(40)})
    first = read(str(evaluated_tables.questions(table, ("a", "b"), "b", "a", 0)))
    qids = [a["data-qid"] for _, a in first.tags if "data-qid" in a]
    assert qids == [f"{i:02d}" for i in range(39, 24, -1)]
    assert "1–15 of 40" in first.text
    assert "+0.390" in first.text
    last = read(str(evaluated_tables.questions(table, ("a", "b"), "b", "a", 30)))
    assert "31–40 of 40" in last.text


def test_changes_show_the_lines_that_differ_and_the_means_that_moved() -> None:
    html = str(history.changes(FakeEvaluations().evaluation_changes("Retrieval papers", "ev-1", "ev-2")))
    assert "<del>- - bm25: {k: 50}" in html
    assert "<ins>+ - bm25: {k: 100}" in html
    assert "cutoff" not in html
    assert html.index("+0.0200") < html.index("0.5000"), "what is in one of them only comes last"
    assert "One mean did not move." in html
    assert "0.4000" not in html


def test_history_says_what_is_stale_and_what_is_unfinished() -> None:
    seen = read(
        str(history.table(FakeEvaluations().evaluations("Retrieval papers"), "ev-2", "", every=False, write=True))
    )
    assert "Stale" in seen.text
    assert "Not finished" in seen.text
    assert [a["data-id"] for _, a in seen.tags if a.get("data-action") == "ev-changes"] == ["ev-1", "ev-0"]


def test_an_unfinished_evaluation_has_no_numbers_but_a_way_on() -> None:
    shown = evaluated.Shown(view(finished=False, pipelines=(), failures=()))
    text = read(str(evaluated.results(shown, evaluated.Chosen(measure=MEASURES[0])))).text
    assert "Go on" in text
    assert "nDCG@10 and speed" not in text
