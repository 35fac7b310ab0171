"""Every socket takes a component of another package, and nothing but its own file and an entry point is written for it.

A package with one module for each family is put into a folder; a new process that finds it there tells what it knows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import WorkspaceDamaged
from engine.models.card import read_card
from tests.encoders.tiny import write_model

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
from typing import ClassVar
from pydantic import BaseModel, Field
"""
KNOB = 'knob: int = Field(3, ge=1, le=9, description="Turned from outside.")'
MODULES = {
    "readers": f"""
from engine.readers.base import Reader
class Outside(Reader, name="outside_readers"):
    "Reads what others write."
    title: ClassVar[str] = "From outside"
    suffixes: ClassVar[tuple[str, ...]] = (".outside",)
    {KNOB}
    @classmethod
    def sniff(cls, path, head):
        return 0.0
""",
    "chunkers": f"""
from engine.chunkers.base import Chunker
class Outside(Chunker, name="outside_chunkers"):
    "A passage is the whole text."
    {KNOB}
    def split_many(self, titles, texts):
        return [[(0, len(text))] if text.strip() else [] for text in texts]
""",
    "expanders": f"""
from engine.expanders.base import Expander
class Outside(Expander, name="outside_expanders"):
    "The title once more."
    {KNOB}
    def expand_many(self, titles, texts, models, progress=None):
        return [[title] if title else [] for title in titles]
""",
    "indexes": f"""
from engine.indexes.bm25 import Bm25Index
class Outside(Bm25Index, name="outside_indexes"):
    "Words, from outside."
    kind: ClassVar[str] = "outside_indexes"
    {KNOB}
""",
    "indexes.structures": f"""
from engine.indexes.structures.base import Structure
class Halves:
    memory = 0
    def __init__(self, index, kept):
        self.index, self.kept = index, kept
    def search(self, queries, k, allowed, effort):
        return self.index.search_exact(queries, k, allowed)
class Kept(BaseModel):
    knob: int
class Outside(Structure, name="outside_structure"):
    "Every row, but from outside."
    rows: ClassVar[tuple[str, ...]] = ("dense",)
    exact: ClassVar[bool] = True
    {KNOB}
    def build(self, index, earlier, progress):
        return Kept(knob=self.knob), {{"turned": self.knob}}
    def open(self, index, about):
        return Halves(index, Kept.model_validate(about))
""",
    "rewriters": f"""
from engine.rewriters.base import Rewriter
class Outside(Rewriter, name="outside_rewriters"):
    "The first words of a query."
    {KNOB}
    def rewrite(self, texts, ctx):
        return [[" ".join(text.split()[: self.knob])] for text in texts]
""",
    "retrievers": f"""
from engine.retrievers.bm25 import Bm25
class Outside(Bm25, name="outside_retrievers"):
    "Words, from outside."
    {KNOB}
""",
    "feedback": f"""
from engine.feedback.rm3 import Rm3
class Outside(Rm3, name="outside_feedback"):
    "RM3, from outside."
    {KNOB}
""",
    "fusers": f"""
from engine.fusers.rrf import Rrf
class Outside(Rrf, name="outside_fusers"):
    "Ranks, from outside."
    {KNOB}
""",
    "selectors": f"""
from engine.selectors.mmr import Mmr
class Outside(Mmr, name="outside_selectors"):
    "MMR, from outside."
    {KNOB}
""",
    "rerankers": f"""
import numpy as np
from engine.rerankers.base import Reranker
class Outside(Reranker, name="outside_rerankers"):
    "Upside down."
    {KNOB}
    def score(self, query, candidates, ctx):
        return np.arange(len(candidates), dtype=float)
""",
    "calibrators": f"""
from engine.calibrators.platt import Platt
class Outside(Platt, name="outside_calibrators"):
    "Platt, from outside."
    {KNOB}
""",
    "metrics": f"""
from engine.metrics.base import Metric
class Outside(Metric, name="OutsideMetric"):
    "Nothing, measured from outside."
    words: ClassVar[str] = "nothing"
    {KNOB}
    def values(self, marked):
        import numpy as np
        return np.zeros(marked.queries)
""",
}
MODULES["families"] = """
from engine.families.base import Encoding
from engine.models.family import Hint
class Mirror:
    "The model's vectors, turned round."
    def __init__(self, inner):
        self.inner, self.card, self.fingerprint, self.runner = inner, inner.card, inner.fingerprint, inner.runner
    def encode_queries(self, texts):
        return -self.inner.encode_queries(texts)
    def encode_documents(self, texts, progress=lambda step: None):
        return -self.inner.encode_documents(texts, progress)
class Outside(Encoding, name="outside_families"):
    "Vectors, from outside."
    title: ClassVar[str] = "From outside"
    about: ClassVar[str] = "Turned from outside"
    stage: ClassVar[str] = "dense"
    def open(self, folder, provider="auto", threads=None):
        from engine.encoders.dense import DenseEncoder
        return Mirror(DenseEncoder.load(folder, provider, threads))
    def row_kind(self, width):
        from engine.indexes.stored.rows import VectorKind
        return VectorKind(width)
    def points(self, card, rows):
        return [row[None] for row in rows]
    def hint(self, original):
        return Hint.NAMED if original.library_class == "Outside" else Hint.NONE
    def open_original(self, path, dimensions=None):
        raise AssertionError("nothing is converted here")
"""
NAMES = {"indexes.structures": "outside_structure", "metrics": "OutsideMetric"}
STAGES = ("rewriters", "retrievers", "feedback", "rerankers", "selectors", "calibrators")
PIPELINE = """
pipeline:
- outside_rewriters: {knob: 2}
- fuse:
    inputs:
    - outside_retrievers
    - dense: {structure: {outside_structure: {knob: 5}}}
    method: outside_fusers
- outside_feedback
- outside_selectors
- outside_rerankers
"""
TELL = """
import json, sys
from pathlib import Path
from engine.component import FAMILIES, discover
from engine.pipeline.context import Context
from engine.indexes.dense import DenseIndex
from engine.pipeline.stages import PipelineSpec, json_schema
from engine.testing.contracts import MemoryResources, check_index, sentences
from engine.types import Ranking
from tests.docs.reference import components
folder = Path(sys.argv[1])
spec = PipelineSpec.from_yaml(sys.argv[2])
check_index(DenseIndex.model_validate({"structure": {"outside_structure": {"knob": 7}}}), folder / "index")
texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
resources = MemoryResources(texts, folder / "run")
found, root = Context(resources).execute(spec.pipeline, Ranking.of([("q", "scientific papers and more")]))
built = [index for index in resources._open.values() if getattr(index, "structure", "") == "outside_structure"]
print(json.dumps({
    "families": {family: list(discover(family)) for family in FAMILIES},
    "schema": json_schema(),
    "reference": components(),
    "yaml": spec.to_yaml(),
    "hits": len(found.hits),
    "kept": [index.searcher.kept.knob for index in built],
    "heads": [span.stage.head for span in root.walk() if span.stage.name.startswith("outside")],
}))
"""


DRAW = """
import sys
from pathlib import Path
from app.ui.pages.models import view
from app.verbs.services import Services
with Services(Path(sys.argv[1])) as services:
    models = services.models()
    print(view.catalogue(models, models, "", "", "", read_only=False))
    print(view.pane(services.model("tiny"), read_only=False))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it: modules, and beside them what the package brings."""
    folder = tmp_path_factory.mktemp("outside")
    about = folder / "outside-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    lines = []
    for family, source in MODULES.items():
        module = "outside_" + family.replace(".", "_")
        (folder / f"{module}.py").write_text(HEAD + source)
        lines += [f"[triptych.{family}]", f"outside = {module}"]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def run(place: Path, *command: str) -> str:
    told = subprocess.run(
        [sys.executable, *command],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def known(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(place, "-c", TELL, str(tmp_path_factory.mktemp("work")), PIPELINE))
    return found


@pytest.mark.parametrize("family", sorted(MODULES))
def test_it_is_found_and_stands_in_the_reference(known: dict[str, Any], family: str) -> None:
    name = NAMES.get(family, f"outside_{family}")
    assert name in known["families"][family]
    if family in ("readers", "families"):
        told = {"readers": "`.outside`", "families": "Turned from outside"}[family]
        assert f"| `{name}` | From outside | {told} |" in known["reference"]
    else:
        part = known["reference"].split(f"### `{name}`")[1].split("### ")[0]
        assert "Turned from outside." in part


@pytest.mark.parametrize("family", [*STAGES, "fusers"])
def test_the_form_of_a_pipeline_offers_it(known: dict[str, Any], family: str) -> None:
    """The page's form, and an editor that checks against the schema, are made of it."""
    schema, kind = known["schema"]["$defs"], "fuser" if family == "fusers" else "stage"
    choices = {name for choice in schema[kind]["anyOf"] for name in choice.get("properties", {})}
    assert f"outside_{family}" in choices
    knob = schema[f"outside_{family}"]["properties"]["knob"]
    assert (knob["minimum"], knob["maximum"], knob["default"]) == (1, 9, 3)


def test_a_structure_is_offered_by_the_stages_and_the_index_that_can_use_it(known: dict[str, Any]) -> None:
    named, *full = known["schema"]["$defs"]["dense"]["properties"]["structure"]["anyOf"]
    assert named["enum"] == ["auto", "exact", "hnsw", "outside_structure"]
    assert "outside_structure" in [name for one in full for name in one["properties"]]
    assert "| `structure` | `auto`, `exact`, `hnsw`, `outside_structure` |" in known["reference"]
    assert "| `structure` | `auto`, `centroids`, `exact` |" in known["reference"]


def test_a_pipeline_of_them_runs(known: dict[str, Any]) -> None:
    assert known["hits"] > 0
    assert known["kept"] == [5], "the structure was built with its parameter, and opened with what it kept"
    assert known["heads"] == ["rewritten", "retrieved", "feedback", "selected", "reranked"]
    assert "outside_structure:\n" in known["yaml"]


def test_the_command_line_takes_it(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("name: From outside" + PIPELINE)
    for command in (("save", str(file)), ("show", "From outside")):
        told = run(place, "-m", "app", "--workspace", str(tmp_path / "workspace"), "pipelines", *command)
    assert "outside_structure:\n" in told
    assert "outside_rewriters" in told


def test_a_model_of_a_family_is_added_listed_drawn_and_searched_with(place: Path, tmp_path: Path) -> None:
    folder, papers = write_model(tmp_path / "tiny", name="tiny"), tmp_path / "papers.csv"
    card = folder / "card.json"
    card.write_text(card.read_text().replace('"family": "dense"', '"family": "outside_families"'))
    papers.write_text("title,text\nred,red red\ngreen,green green\n")

    def triptych(*command: str) -> Any:
        return json.loads(run(place, "-m", "app", "--workspace", str(tmp_path / "workspace"), *command, "--json"))

    added = triptych("models", "add", str(folder))
    assert added["model"]["pipelines"] == ["tiny", "BM25 + tiny"]
    triptych("add", str(papers), "--collection", "papers", "--no-index")
    triptych("index", "--pipeline", "tiny")
    found = triptych("search", "green", "--pipeline", "tiny")
    assert [hit["title"] for hit in found["cards"]] == ["green", "red"], (
        "both sides are turned round, so that nothing changes"
    )
    (listed,) = triptych("models", "list", "--family", "outside_families")["models"]
    assert (listed["name"], listed["state"], listed["used_by"]) == ("tiny", "here", ["papers"])
    drawn = run(place, "-c", DRAW, str(tmp_path / "workspace"))
    assert "From outside: turned from outside" in drawn
    assert "<button" in drawn
    assert drawn.index(">Reranker<") < drawn.index(">From outside<"), "the filter names it behind the others"


def test_a_model_of_a_family_that_is_gone_says_so(place: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "models" / "tiny", name="tiny")
    card = folder / "card.json"
    card.write_text(card.read_text().replace('"family": "dense"', '"family": "outside_families"'))
    read = "import sys; from pathlib import Path; from engine.models.card import read_card; print(read_card(Path(sys.argv[1])).family)"
    assert run(place, "-c", read, str(folder)) == "outside_families\n"
    with pytest.raises(WorkspaceDamaged, match="no model family called 'outside_families'"):
        read_card(folder)
