"""Runs of other systems: bring them in, list them, let go of them."""

from __future__ import annotations

from pathlib import Path

from app.results.evaluation import RunView
from app.verbs.base import Verbs, writes
from engine.files.runs import read_run
from engine.workspace.runs import StoredRun
from engine.workspace.workspace import checked_name


class RunVerbs(Verbs):
    """TREC runs that stand beside the pipelines of a collection."""

    @writes
    def import_run(self, collection: str, path: str | Path, *, name: str = "") -> RunView:
        """Keep a TREC run under a name, by default the file's; it replaces another run of that name.

        Raises BadInput with the lines that are wrong; nothing is taken then.
        """
        key, file = self._collection(collection).collection_id, Path(path)
        hits, tag = read_run(file)
        run = self.engine.workspace.runs.add(
            key, checked_name(name or file.stem, "run"), hits, tag=tag, source=file.name
        )
        return self._run_view(key, run)

    def runs(self, collection: str) -> tuple[RunView, ...]:
        """The imported runs of a collection, by name."""
        key = self._collection(collection).collection_id
        return tuple(self._run_view(key, run) for run in self.engine.workspace.runs.list(key))

    @writes
    def delete_run(self, collection: str, name: str) -> None:
        """Let go of an imported run; evaluations that judged it stay. Raises NotFound."""
        self.engine.workspace.runs.delete(self._collection(collection).collection_id, name)

    def _run_view(self, collection_id: str, run: StoredRun) -> RunView:
        runs = self.engine.workspace.runs
        queries, hits = runs.counts(run.run_id)
        named = runs.hits(run.run_id)["doc_id"].unique().to_list()
        places = self.engine.workspace.documents.positions(collection_id, named)
        return RunView(
            name=run.name,
            tag=run.tag,
            source=run.source,
            queries=queries,
            hits=hits,
            absent=int((places < 0).sum()),
            imported_at=run.imported_at.isoformat(timespec="seconds"),
        )
