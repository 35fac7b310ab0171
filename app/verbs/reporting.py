"""Reports: everything that a decision rests on, in one HTML file that opens without a network."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.results.calibration import CalibrationView
from app.results.evaluation import EvaluationView, QueryValues
from app.results.report import CalibrationReport, ComparisonReport, EvaluationReport, Origin, ReportedQuery
from app.verbs.base import checked_k
from app.verbs.calibrating import CalibrationVerbs
from app.verbs.evaluation_details import EvaluationDetailVerbs
from app.verbs.measures import MeasureVerbs
from app.verbs.reading import ReadingVerbs
from engine import __version__
from engine.errors import BadInput, NotFound
from engine.evaluation.calibration import stale
from engine.evaluation.run import fingerprints
from engine.pipeline.stages import PipelineSpec

SHOWN_QUERIES = 8
MOST_QUERIES = 50
MOST_HITS = 100
Filters = Mapping[str, Any]


class ReportVerbs(ReadingVerbs, EvaluationDetailVerbs, CalibrationVerbs, MeasureVerbs):
    """One file each; UTF-8."""

    def report(
        self,
        collection: str,
        evaluation_id: str,
        *,
        measure: str = "",
        calibration: str | None = None,
        queries: Sequence[str] = (),
        k: int = 10,
        baseline: str | None = None,
        test: str | None = None,
        correction: str | None = None,
    ) -> bytes:
        """The report of a finished evaluation.

        `measure` is what the drawings show, by default the first metric; `calibration` adds the plots of a stored one (its id or the first
        characters), by default of the newest that holds one of these pipelines on these queries and still stands; "" adds none;
        `queries` are those shown side by side with their first k hits, by default the eight on which the pipelines differ most. Baseline,
        test and correction as in `evaluation`. Raises NotFound, and BadInput for an evaluation that is not finished or has no such measure.
        """
        from app.report import report  # drawn only when asked for

        view = self.evaluation(collection, evaluation_id, baseline=baseline, test=test, correction=correction)
        if not view.finished:
            raise BadInput("The evaluation is not finished; go on with it, then report it.")
        shown = measure or view.metrics[0]
        if shown not in view.metrics:
            raise BadInput(f"The evaluation has no {shown}; it has {', '.join(view.metrics)}.")
        rows = self.query_values(collection, evaluation_id, shown)
        found = EvaluationReport(
            view=view,
            measure=shown,
            rows=rows,
            words=self._words(view.metrics),
            queries=self._reported(collection, evaluation_id, rows, queries, checked_k(k, MOST_HITS)),
            chosen=bool(queries),
            origin=self._evaluation_origin(collection, evaluation_id),
            calibration=self._calibrated(view)
            if calibration is None
            else self.calibration(collection, calibration)
            if calibration
            else None,
        )
        return report.evaluation(found).encode()

    def report_comparison(
        self, collection: str, query: str, pipelines: Sequence[str], *, k: int = 10, filters: Filters | None = None
    ) -> bytes:
        """The report of one query through two to four pipelines: side by side, agreement, ledgers, latency. Raises BadInput, NotFound."""
        from app.report import report  # drawn only when asked for

        if not query.strip():
            raise BadInput("Ask something first; the report is of one query.")
        result = self.compare(collection, query, pipelines, k=k, filters=filters)
        names = [column.pipeline.name for column in result.columns if not column.error]
        ledgers = [self.ledger(collection, query, name, k=min(k, MOST_HITS), filters=filters) for name in names]
        chosen = {name: values for name, values in (filters or {}).items() if values}
        command = ["triptych", "compare", result.query, "--collection", result.collection, "--k", str(k)]
        command += [word for column in result.columns for word in ("--pipeline", column.pipeline.name)]
        command += [word for name, values in chosen.items() for word in _filter_words(name, values)]
        key = self._collection(collection).collection_id
        specs = [PipelineSpec.from_yaml(column.pipeline.yaml) for column in result.columns]
        found = ComparisonReport(
            result,
            tuple(one for one in ledgers if one is not None),
            self._origin(key, (("collection", result.collection),), fingerprints(self.engine, key, specs), (("The same again", shlex.join(command)),)),
            tuple((name.removeprefix("metadata."), ", ".join(map(str, values))) for name, values in chosen.items()),
        )  # fmt: skip
        return report.comparison(found).encode()

    def report_calibration(self, collection: str, calibration_id: str) -> bytes:
        """The report of a stored calibration: scores, reliability, measures, thresholds. Raises NotFound."""
        from app.report import report  # drawn only when asked for

        view = self.calibration(collection, calibration_id)
        key = self._collection(collection).collection_id
        specs = [PipelineSpec.from_yaml(part.methods[0].yaml) for part in view.pipelines if part.methods]
        facts = (
            ("collection", view.collection),
            ("query set", view.query_set),
            ("calibration", view.calibration_id),
        )
        commands = [
            (
                "See it again",
                ["triptych", "calibrations", "show", view.calibration_id[:12], "--collection", view.collection],
            )
        ]
        origin = self._origin(
            key, facts, fingerprints(self.engine, key, specs), [(words, shlex.join(line)) for words, line in commands]
        )  # fmt: skip
        return report.calibration(CalibrationReport(view, origin)).encode()

    def _calibrated(self, view: EvaluationView) -> CalibrationView | None:
        """The newest calibration of the evaluated pipelines on the same queries, unless something that it was made from has changed."""
        yaml = {one.yaml for one in view.pipelines}
        for stored in self.engine.workspace.calibrations.list(self._collection(view.collection).collection_id):
            mine = stored.query_set == view.query_set and any(
                part["yaml"] in yaml for part in stored.result["pipelines"]
            )
            if mine and not stale(self.engine, stored):
                return self._calibration_view(view.collection, stored)
        return None

    def _words(self, metrics: Sequence[str]) -> dict[str, str]:
        """What each metric tells, in plain words."""
        known = self.metrics()
        exact = {one.example: one.words for one in known}
        named = {one.name: one.words for one in known}
        return {name: exact.get(name) or named.get(name.split("@")[0].split("(")[0], "") for name in metrics}

    def _reported(
        self, collection: str, evaluation_id: str, rows: Sequence[QueryValues], queries: Sequence[str], k: int
    ) -> tuple[ReportedQuery, ...]:
        if len(queries) > MOST_QUERIES:
            raise BadInput(f"A report shows up to {MOST_QUERIES} questions side by side; got {len(queries)}.")
        by_id = {row.qid: row for row in rows}
        chosen = list(dict.fromkeys(queries)) or [row.qid for row in rows[:SHOWN_QUERIES]]
        found = []
        for qid in chosen:
            row = by_id.get(qid)
            if row is None:
                raise NotFound(f"The evaluation has no judged question {qid!r}.")
            hits = self.query_hits(collection, evaluation_id, qid, k=k)
            found.append(ReportedQuery(qid, row.text, row.values, hits))
        return tuple(found)

    def _evaluation_origin(self, collection: str, evaluation_id: str) -> Origin:
        stored = self._stored(collection, evaluation_id)
        view = self.evaluation(collection, evaluation_id)
        facts = (
            ("collection", view.collection),
            ("query set", view.query_set),
            ("evaluation", stored.evaluation_id),
            ("measured with", f"Triptych {stored.spec.get('version', '')}".strip()),
            ("hits of each question", str(stored.spec.get("depth", ""))),
            ("hash of the documents", stored.content_hash),
            ("hash of the questions", stored.queries_hash),
            ("hash of the judgments", stored.judgments_hash),
        )
        commands = [("Everything again, and every value compared", view.command)]
        commands += [(f"Only {one.name}", one.command) for one in view.pipelines]
        return self._origin(
            None, [pair for pair in facts if pair[1]], stored.fingerprints, [pair for pair in commands if pair[1]]
        )

    def _origin(
        self,
        collection_id: str | None,
        facts: Iterable[tuple[str, str]],
        stamps: Mapping[str, str],
        commands: Iterable[tuple[str, str]],
    ) -> Origin:
        """Where a report comes from; of a collection as it is now, where its id is given."""
        now = (
            ()
            if collection_id is None
            else (("hash of the documents", self.engine.workspace.documents.content_hash(collection_id)),)
        )
        made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return Origin((*facts, *now), dict(stamps), tuple(commands), __version__, made_at)  # fmt: skip


def _filter_words(name: str, values: Any) -> list[str]:
    """A filter as the command line takes it."""
    if name == "year":
        return ["--filter", f"year={'..'.join(map(str, values))}"]
    return [word for value in values for word in ("--filter", f"{name}={value}")]
