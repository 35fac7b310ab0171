"""The verbs about evaluation over synthetic values: five pipelines, one of another system, one that failed, in every state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.results.evaluation import (
    Brought,
    ChangedMean,
    ChangedSetting,
    Disagreement,
    EvaluatedPipeline,
    EvaluationChanges,
    EvaluationSummary,
    EvaluationView,
    FailedQuery,
    FlipDocument,
    MeasureCell,
    MetricView,
    PairAgreement,
    PairBounds,
    QueryAgreement,
    QuerySetView,
    QueryValues,
    RunView,
    StageLatency,
    VerdictBounds,
)
from app.results.search import JobView
from engine.errors import BadInput, NotFound

LONG = "Three lists with feedback, interpolated on both sides, then reranked by a cross-encoder over the first hundred"
NAMES = ("BM25", "Dense", "Hybrid", LONG, "опытный поиск", "their-system")
LEVELS = (0.48, 0.46, 0.58, 0.61, 0.40, 0.52)
MEASURES = ("nDCG@10", "AP", "RR@10", "R@100")
TAGS = ("method", "evaluation", "efficiency", "比較", "")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"
EVALUATED = JobView(
    job_id="job-9", kind="evaluate", collection="Retrieval papers", label="Evaluate BM25, Dense, Hybrid", status="done", phase="measure",
    done=40, total=40, unit="queries", rate=None, eta_seconds=None, counts={"queries": 40}, error="", started_at="2026-05-02T10:11:00",
    finished_at="2026-05-02T10:11:12", result="ev-2",
)  # fmt: skip
EVALUATING = (
    EVALUATED,
    replace(EVALUATED, job_id="job-7", kind="disagree", label="Disagreement of BM25, Dense on nur Fragen", result="dis-1"),
    replace(EVALUATED, job_id="job-8", status="running", phase="evaluate", done=13, rate=4.2, eta_seconds=6.4, finished_at="", result="ev-3"),
)  # fmt: skip


def value(pipeline: int, query: int, measure: int) -> float:
    """Some value from 0 to 1, the same each time."""
    wave = math.sin(query * 12.9898 + pipeline * 3.7 + measure) * 0.5 + math.sin(query * 1.7) * 0.3
    return round(min(1.0, max(0.0, LEVELS[pipeline] + 0.35 * wave + 0.04 * measure)), 4)


def rows(count: int = 40, measure: str = "nDCG@10", names: Sequence[str] = NAMES) -> tuple[QueryValues, ...]:
    """Values of every pipeline; the fifth failed on two questions."""
    at = MEASURES.index(measure)
    found = []
    for i in range(count):
        values: dict[str, float | None] = {name: value(NAMES.index(name), i, at) for name in names}
        if i in (3, 7) and NAMES[4] in values:
            values[NAMES[4]] = None
        known = [v for v in values.values() if v is not None]
        text = HOSTILE if i == 5 else f"how does question number {i} find what it looks for?"
        tags = {"tag": TAGS[i % 5]} if TAGS[i % 5] else {}
        found.append(QueryValues(f"q{i:02d}", text, values, max(known) - min(known), tags))
    return tuple(found)


def cell(pipeline: int, measure: int, baseline: int) -> MeasureCell:
    mean = LEVELS[pipeline] + 0.04 * measure
    difference = None if pipeline == baseline else mean - LEVELS[baseline] - 0.04 * measure
    return MeasureCell(
        measure=MEASURES[measure],
        mean=mean,
        low=mean - 0.05,
        high=mean + 0.05,
        difference=difference,
        difference_low=None if difference is None else difference - 0.03,
        difference_high=None if difference is None else difference + 0.03,
        p=None if difference is None else 0.2 - abs(difference),
        p_corrected=None if difference is None else max(0.0004, 0.2 - 2 * abs(difference)),
        significant=0 if difference is None or abs(difference) < 0.05 else 1 if difference > 0 else -1,
        cohen_dz=None if difference is None else difference * 3,
        hedges_g=None if difference is None else difference * 2.9,
        wins=None if difference is None else 20 + round(100 * difference),
        ties=None if difference is None else 5,
        losses=None if difference is None else 15 - round(100 * difference),
        condensed=mean + 0.01 if measure < 2 else None,
    )


def pipeline(index: int, baseline: int) -> EvaluatedPipeline:
    imported = index == 5
    p50 = None if imported else 1.4 * 3.1**index
    stages = (
        ()
        if p50 is None
        else (StageLatency("0", "BM25", p50 * 0.3, p50 * 0.5), StageLatency("1", "fuse (rrf)", p50 * 0.7, p50))
    )
    return EvaluatedPipeline(
        name=NAMES[index],
        yaml="" if imported else f"name: {index}\npipeline:\n- bm25: {{k: 100}}\n",
        cells=tuple(cell(index, measure, baseline) for measure in range(4)),
        judged=0.9 - 0.1 * index,
        p50=p50,
        p95=None if p50 is None else p50 * 1.6,
        stages=stages,
        failed=2 if index == 4 else 0,
        error="The index is not built." if index == 4 else "",
        imported=imported,
    )  # fmt: skip


def view(baseline: str = "BM25", **changes: Any) -> EvaluationView:
    """An evaluation in full."""
    at = NAMES.index(baseline)
    made = EvaluationView(
        evaluation_id="ev-2", collection="Retrieval papers", query_set="default", created_at="2026-05-02T10:11:12", finished=True, stale=(),
        metrics=MEASURES, baseline=baseline, test="randomization", correction="holm", level=0.95, queries=38, unjudged=2,
        pipelines=tuple(pipeline(i, at) for i in range(6)),
        failures=(FailedQuery(NAMES[4], "q03", "The index is not built."), FailedQuery(NAMES[4], "q07", HOSTILE)),
        command="triptych evaluations reproduce ev-2 --collection 'Retrieval papers'",
    )  # fmt: skip
    return replace(made, **changes)


class FakeEvaluations:
    """The verbs."""

    read_only: bool

    def _asked(self, collection: str, evaluation_id: str) -> None:
        if collection != "Retrieval papers" or evaluation_id not in ("ev-1", "ev-2"):
            raise NotFound(f"There is no evaluation {evaluation_id!r}.")

    def metrics(self) -> tuple[MetricView, ...]:
        named = (*MEASURES, "P@5")
        return tuple(
            MetricView(one.split("@")[0], one, f"What {one} tells.", f"How {one} is computed.", ()) for one in named
        )

    def metric(self, written: str) -> str:
        if not written[:1].isalpha():
            raise BadInput(f"{written!r} is not a metric.")
        return written

    def query_sets(self, collection: str) -> tuple[QuerySetView, ...]:
        if collection != "Retrieval papers":
            return ()
        return (QuerySetView("default", 40, 38, 512), QuerySetView("nur Fragen", 12, 0, 0))

    def runs(self, collection: str) -> tuple[RunView, ...]:
        return (
            (RunView("their-system", "tag", "their.run", 38, 3800, 4, "2026-05-01T09:00:00"),)
            if collection == "Retrieval papers"
            else ()
        )

    def evaluations(self, collection: str) -> tuple[EvaluationSummary, ...]:
        if collection != "Retrieval papers":
            return ()
        one = EvaluationSummary(
            "ev-2", "default", "2026-05-02T10:11:12", True, (), NAMES, MEASURES, 38, LONG, "nDCG@10", 0.61, 40
        )
        return (
            one,
            replace(one, evaluation_id="ev-1", created_at="2026-05-01T08:00:00", stale=("the judgments have changed",), pipelines=NAMES[:2]),
            replace(one, evaluation_id="ev-0", finished=False, mean=None, best="", pipelines=("BM25", HOSTILE)),
        )  # fmt: skip

    def evaluation(
        self, collection: str, evaluation_id: str, *, baseline: str | None = None, **settings: str
    ) -> EvaluationView:
        self._asked(collection, evaluation_id)
        made = view(baseline or "BM25", evaluation_id=evaluation_id, **settings)
        return (
            made
            if evaluation_id == "ev-2"
            else replace(made, stale=("the judgments have changed", "the documents have changed"))
        )

    def query_values(self, collection: str, evaluation_id: str, measure: str) -> tuple[QueryValues, ...]:
        self._asked(collection, evaluation_id)
        return rows(measure=measure)

    def query_text(self, collection: str, query_set: str, qid: str) -> str:
        return "dense retrieval for scientific literature"

    def evaluation_changes(self, collection: str, before_id: str, after_id: str) -> EvaluationChanges:
        by_id = {one.evaluation_id: one for one in self.evaluations(collection)}
        settings = (
            ChangedSetting("judgments", "489 judgments", "512 judgments"),
            ChangedSetting(
                "pipeline Hybrid",
                "pipeline:\n- bm25: {k: 50}\n- cutoff: {k: 5}\n",
                "pipeline:\n- bm25: {k: 100}\n- cutoff: {k: 5}\n",
            ),
        )
        means = (
            ChangedMean("BM25", "AP", 0.41, 0.43),
            ChangedMean("Dense", "AP", 0.4, 0.4),
            ChangedMean("Hybrid", "AP", None, 0.5),
        )
        return EvaluationChanges(by_id[before_id], by_id[after_id], settings, means)

    def verdict_bounds(self, collection: str, evaluation_id: str, *, measure: str, baseline: str) -> VerdictBounds:
        if measure == "R@100":
            raise BadInput("R@100 has no bounds.")
        pairs = (
            PairBounds("Hybrid", 0.1, 0.02, 0.31, True, True, 40),
            PairBounds("Dense", -0.02, -0.2, 0.1, False, False, 1312),
        )
        documents = tuple(
            FlipDocument(f"q{i:02d}", HOSTILE, f"d{i}", "A title", "Dense", 0.02 - i / 1000) for i in range(15)
        )
        return VerdictBounds(measure, baseline, 2, 38, pairs, documents)

    def start_evaluation(self, collection: str, pipelines: Sequence[Any], **settings: Any) -> str:
        if not pipelines:
            raise BadInput("Nothing to evaluate.")
        return "job-9"

    def delete_disagreement(self, collection: str, disagreement_id: str) -> None:
        self.stored_disagreement(collection, disagreement_id)

    def delete_evaluation(self, collection: str, evaluation_id: str) -> None:
        self._asked(collection, evaluation_id)

    def report(self, collection: str, evaluation_id: str, **options: Any) -> bytes:
        self._asked(collection, evaluation_id)
        return repr(sorted(options.items())).encode()

    def export_evaluation(self, collection: str, evaluation_id: str, form: str, **options: str) -> bytes:
        return f"{form} {options['table']}".encode()

    def export_run(self, collection: str, evaluation_id: str, pipeline: str) -> str:
        return "q00 Q0 d 1 1.0 tag\n"

    def export_queries(self, collection: str, *, query_set: str, form: str) -> str:
        return "queries"

    def export_judgments(self, collection: str, *, query_set: str, form: str) -> str:
        return "judgments"

    def start_disagreement(
        self,
        collection: str,
        pipelines: Sequence[str],
        *,
        runs: Sequence[str] = (),
        query_set: str = "default",
        k: int = 10,
    ) -> str:
        self.disagreement(collection, pipelines, runs=runs, query_set=query_set)
        return "job-7"

    def stored_disagreement(self, collection: str, disagreement_id: str) -> Disagreement:
        if disagreement_id != "dis-1":
            raise NotFound(f"There is no comparison {disagreement_id!r} in {collection!r}.")
        found = self.disagreement(collection, ("BM25", "Dense"), query_set="nur Fragen")
        return replace(found, disagreement_id="dis-1", stale=("the queries have changed",))

    def disagreement(
        self,
        collection: str,
        pipelines: Sequence[str],
        *,
        runs: Sequence[str] = (),
        query_set: str = "default",
        k: int = 10,
    ) -> Disagreement:
        names = (*pipelines, *runs)
        if len(names) < 2:
            raise BadInput("Disagreement is between 2 to 20 different pipelines and runs.")
        pairs = (PairAgreement(names[0], names[1], 40, 0.41, 0.52, 0.33, None),)
        queries = (
            QueryAgreement("q05", HOSTILE, 0.1, 0.12, 0.05, None),
            QueryAgreement("q01", "another", 0.4, 0.5, 0.4, 0.3),
        )
        return Disagreement(
            collection, query_set, k, names, pairs, queries, (FailedQuery("Dense", "q02", "It is not built."),)
        )

    def bring(self, collection: str, paths: Sequence[str], *, query_set: str, what: str) -> tuple[Brought, ...]:
        if any(str(path).endswith("bad.txt") for path in paths):
            raise BadInput("bad.txt: line 3: is not JSON; and 2 more. Nothing was taken from it; mend these lines.")
        return (Brought("queries.jsonl", "queries", query_set, 12, 0, ("3 answers are not documents.",)),)

    def delete_query_set(self, collection: str, query_set: str) -> int:
        return 40

    def delete_run(self, collection: str, name: str) -> None:
        if name != "their-system":
            raise NotFound("There is no such run.")
