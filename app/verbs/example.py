"""The example: a collection of papers about retrieval with judged questions, and pipelines to try on it."""

from __future__ import annotations

from pathlib import Path

from app.verbs.base import writes
from app.verbs.library import LibraryVerbs
from engine.models import paths

EXAMPLE = "Retrieval papers"
FOLDER = "retrieval-papers"


class ExampleVerbs(LibraryVerbs):
    """Bring in what is delivered with the program."""

    @writes
    def add_example(self) -> str:
        """Queue the adding of the example collection and save its pipelines. Gives the job's id. Raises ReadOnly."""
        self.save_example_pipelines()
        return self.add([str(_examples() / FOLDER)], EXAMPLE)

    @writes
    def save_example_pipelines(self) -> None:
        """Save the example pipelines that are not there; one that the user changed stays as it is. Raises ReadOnly."""
        known = {view.name for view in self.pipelines()}
        for path in sorted((_examples() / "pipelines").glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            name = self.check_pipeline(text).name
            if name not in known:
                self.save_pipeline(name, text)


def _examples() -> Path:
    return paths.bundled_folder("examples")
