"""Models from a hub or a folder into a workspace: found, converted, tried out, published whole or not at all."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from engine.encoders.opening import load_encoder
from engine.errors import BadInput, IndexNotReady, NotFound, ReadOnly, WorkspaceDamaged
from engine.indexes.dense import DenseIndex
from engine.jobs import model_add as adding
from engine.jobs.model_add import AddModel
from engine.jobs.model_delete import uses
from engine.jobs.model_plan import plan_model
from engine.models.catalogue import model_folder
from engine.retrievers.dense import Dense
from engine.serving.building import build_index
from engine.serving.doctor import check
from engine.serving.engine import Engine
from engine.system import child
from engine.types import Ranking, Record
from engine.workspace.jobs import Job
from engine.workspace.models import Models
from engine.workspace.workspace import Workspace
from tests.encoders.tiny import TABLE, write_graph, write_model, write_tokenizer
from tests.models.hub_server import COMMIT, HubServer

NAME = "someone/tiny"
STAGES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.fixture
def workspace(engine: Engine) -> Workspace:
    return engine.workspace


def original(folder: Path, graph: bool = True, **pooling: Any) -> Path:
    """A dense model in sentence-transformers layout with its own graph; red, green, blue are its words."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "1_Pooling").mkdir()
    write_tokenizer(folder / "tokenizer.json")
    if graph:
        write_graph(folder / "onnx" / "model.onnx", mask=True)
    tables = {
        "config.json": {"architectures": ["BertModel"], "hidden_size": 2, "max_position_embeddings": 8},
        "modules.json": STAGES,
        "1_Pooling/config.json": pooling or {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        "sentence_bert_config.json": {"max_seq_length": 6},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": ""},
            "similarity_fn_name": "dot",
        },
    }
    for name, table in tables.items():
        (folder / name).write_text(json.dumps(table))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def server(hub_server: HubServer, tmp_path: Path) -> HubServer:
    hub_server.repositories[NAME] = contents(original(tmp_path / "original"))
    hub_server.repositories[NAME] |= {
        "evil.py": b"import os",
        "pytorch_model.bin": b"\x80pickle",
        "README.md": b"# tiny",
    }
    hub_server.lfs.add("onnx/model.onnx")
    return hub_server


def added(engine: Engine, source: Any, **params: Any) -> Job:
    job = engine.jobs.submit("model-add", "", {"source": str(source), **params})
    return engine.jobs.wait(job, 300)


def test_a_model_of_the_hub_runs_as_its_files_say(engine: Engine, workspace: Workspace, server: HubServer) -> None:
    job = added(engine, NAME)
    assert (job.status, job.error) == ("done", "")
    card = workspace.models.cards()["tiny"]
    assert (card.family, card.dimensions, card.pooling, card.similarity, card.max_tokens) == (
        "dense",
        2,
        "mean",
        "dot",
        6,
    )
    assert (card.source, card.revision, card.licence, card.prompts.query) == (NAME, COMMIT, "Apache-2.0", "query: ")
    encoder = load_encoder("tiny", provider="cpu", own=workspace.models.folder)
    # The mean of [CLS] = (1, 0), red = (4, 0), [SEP] = (0, 1) by hand.
    assert np.allclose(encoder.encode_documents(["red"]), [[5 / 3, 1 / 3]])
    # The prompt "query:" = (8, 0) comes before a query.
    assert np.allclose(encoder.encode_queries(["red"]), [[13 / 4, 1 / 4]])


def masked_language_model(folder: Path, logits: Any, **pooling: Any) -> Path:
    """A sparse model whose repository has the graph of its masked language model, and no weights but pickled ones."""
    (folder / "onnx").mkdir(parents=True)
    write_tokenizer(folder / "tokenizer.json")
    write_graph(folder / "onnx" / "model.onnx", mask=True, table=np.asarray(logits, np.float32))
    graph = onnx.load(folder / "onnx" / "model.onnx")
    graph.graph.node[-1].output[0] = graph.graph.output[0].name = "logits"
    onnx.save(graph, folder / "onnx" / "model.onnx")
    (folder / "config.json").write_text('{"architectures": ["BertForMaskedLM"], "max_position_embeddings": 8}')
    (folder / "pytorch_model.bin").write_bytes(b"\x80pickle")
    if pooling:
        stages = [{"path": "", "type": "x.MLMTransformer"}, {"path": "1_SpladePooling", "type": "x.SpladePooling"}]
        (folder / "modules.json").write_text(json.dumps(stages))
        (folder / "1_SpladePooling").mkdir()
        (folder / "1_SpladePooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def test_a_sparse_model_runs_by_the_graph_of_its_language_model(
    engine: Engine, workspace: Workspace, tmp_path: Path
) -> None:
    logits = np.full((len(TABLE), len(TABLE)), -1.0)
    logits[4, 4], logits[4, 6], logits[5, 6], logits[3, 7] = 3, 1, 2, 0.5
    source = masked_language_model(tmp_path / "splade", logits, pooling_strategy="max", activation_function="relu")
    job = added(engine, source, local=True)
    assert (job.status, job.error) == ("done", "")
    card = workspace.models.cards()["splade"]
    assert (card.family, card.pooling, card.queries, card.dimensions) == ("sparse", "max", "encoded", len(TABLE))
    encoder = load_encoder("splade", provider="cpu", own=workspace.models.folder)
    for rows in (encoder.encode_documents(["red green", "red"]), encoder.encode_queries(["red green", "red"])):
        # The largest logit of each term over [CLS] red green [SEP], not below 0, then log(1 + x); [SEP] itself gives term 7.
        assert rows.terms.tolist() == [4, 6, 7, 4, 6, 7]
        assert np.allclose(rows.weights, np.log1p([3, 2, 0.5, 3, 1, 0.5]))


def test_a_sparse_model_with_another_pooling_is_not_run_by_its_graph(
    engine: Engine, workspace: Workspace, tmp_path: Path
) -> None:
    for change in ({"pooling_strategy": "sum"}, {"activation_function": "log1p_relu"}):
        name = next(iter(change))
        source = masked_language_model(tmp_path / name, TABLE @ TABLE.T, **change)
        assert "pickles" in added(engine, source, local=True).error


def test_files_that_contradict_the_catalogue_are_refused(engine: Engine, workspace: Workspace, tmp_path: Path) -> None:
    source = masked_language_model(tmp_path / "opensearch-neural-sparse-encoding-doc-v2-distill", TABLE @ TABLE.T)
    job = added(engine, source, local=True)
    assert "made for inference-free queries, but its files say encoded" in job.error
    assert workspace.models.cards() == {}


def test_only_what_is_needed_is_downloaded(engine: Engine, workspace: Workspace, server: HubServer) -> None:
    added(engine, NAME)
    paths = {path for method, path, _ in server.requests if method == "GET"}
    assert not [path for path in paths if path.endswith((".py", ".bin", ".md"))]
    assert not (workspace.models.folder / ".work").exists() or not list((workspace.models.folder / ".work").iterdir())
    assert sorted(path.name for path in (workspace.models.folder / "tiny").iterdir()) == [
        "card.json",
        "model.onnx",
        "tokenizer.json",
    ]


def test_a_broken_download_fails_and_goes_on_when_resumed(
    engine: Engine, workspace: Workspace, server: HubServer
) -> None:
    server.faults["onnx/model.onnx"] = ["cut", *["500"] * 10]
    job = added(engine, NAME)
    assert job.status == "failed"
    assert "What arrived is kept" in job.error
    assert workspace.models.cards() == {}
    server.faults.clear()
    server.requests.clear()
    engine.jobs.resume(job.job_id)
    assert engine.jobs.wait(job.job_id, 60).status == "done"
    ranges = [headers["range"] for _, path, headers in server.requests if "/cdn/" in path]
    assert len(ranges) == 1
    assert ranges[0] != "bytes=0-"


def test_hosts_that_the_hub_sends_to_are_told_by_the_plan_and_by_the_job(
    engine: Engine, workspace: Workspace, server: HubServer
) -> None:
    told = plan_model(AddModel(source=NAME))
    assert "The hub sends to other hosts for its files: localhost." in told["notes"]
    assert not [path for method, path, _ in server.requests if method == "GET" and "model.onnx" in path]
    job = added(engine, NAME)
    assert (job.status, job.counts["hosts"]) == ("done", "127.0.0.1, localhost")


def test_wrong_content_leaves_nothing(engine: Engine, workspace: Workspace, server: HubServer) -> None:
    server.faults["onnx/model.onnx"] = ["wrong"]
    job = added(engine, NAME)
    assert job.status == "failed"
    assert "damaged" in job.error
    assert workspace.models.cards() == {}
    assert not list(workspace.models.folder.rglob("model.onnx*"))


def test_cancelling_removes_what_arrived(engine: Engine, workspace: Workspace, server: HubServer) -> None:
    server.repositories[NAME]["tokenizer_config.json"] = b" " * 4_000_000 + b"{}"
    waiting = threading.Event()
    original_answer = server.answer

    def slow(handler: Any) -> None:
        if "tokenizer_config" in handler.path:
            waiting.set()
            assert cancelled.wait(20)
        original_answer(handler)

    cancelled = threading.Event()
    server.answer = slow  # type: ignore[method-assign]
    job = engine.jobs.submit("model-add", "", {"source": NAME})
    assert waiting.wait(20)
    engine.jobs.cancel(job)
    cancelled.set()
    assert engine.jobs.wait(job, 60).status == "cancelled"
    assert not list(workspace.models.folder.rglob("*.json*"))


def test_a_closed_program_goes_on_where_it_stopped(tmp_path: Path, server: HubServer) -> None:
    weights = random.Random(1).randbytes(3_000_000)
    server.repositories[NAME]["onnx/model.onnx_data"] = weights
    reached, closed = threading.Event(), threading.Event()
    answer = server.answer

    def trickling(handler: Any) -> None:
        """A third at once, then byte by byte until whoever listens has gone."""
        if "onnx_data" not in handler.path or closed.is_set():
            answer(handler)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(weights)))
        handler.end_headers()
        handler.wfile.write(weights[:1_000_000])
        handler.close_connection = True
        with suppress(OSError):
            for at in range(1_000_000, 1_001_000):
                handler.wfile.write(weights[at : at + 1])
                reached.set()
                if closed.wait(0.02):
                    break

    server.answer = trickling  # type: ignore[method-assign]
    with Engine.open(tmp_path / "workspace") as engine:
        first = engine.workspace
        job = engine.jobs.submit("model-add", "", {"source": NAME})
        assert reached.wait(60)
        part = first.models.folder / ".work" / job / COMMIT / "onnx" / "model.onnx_data.part"
        while not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
    closed.set()
    kept = part.stat().st_size
    assert "tiny" not in Models(tmp_path / "workspace").cards()
    server.requests.clear()
    with Engine.open(tmp_path / "workspace") as engine:
        second = engine.workspace
        assert engine.jobs.wait(job, 60).status == "done"
        assert "tiny" in second.models.cards()
        assert (second.models.folder / "tiny" / "model.onnx_data").read_bytes() == weights
    ranges = [headers.get("range", "") for _, path, headers in server.requests if path.endswith("onnx_data")]
    assert ranges == [f"bytes={kept}-"]


def test_too_little_space_is_said_before_the_download(
    engine: Engine, workspace: Workspace, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "disk_free", lambda: 100)
    job = added(engine, NAME)
    assert job.status == "failed"
    assert "Free some space" in job.error
    assert not [path for _, path, _ in server.requests if path.endswith(".onnx")]


def test_a_reader_cannot_add(tmp_path: Path) -> None:
    Workspace.open(tmp_path / "workspace").close()
    with Engine.open(tmp_path / "workspace", read_only=True) as engine, pytest.raises(ReadOnly):
        engine.jobs.submit("model-add", "", {"source": NAME})


def test_a_damaged_model_is_found_and_not_opened(engine: Engine, workspace: Workspace, tmp_path: Path) -> None:
    assert added(engine, write_model(tmp_path / "colors"), local=True).status == "done"
    assert "model 'colors' (dense): 2 kB, intact" in {finding.what for finding in check(workspace.folder, workspace)}
    graph = workspace.models.folder / "colors" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(WorkspaceDamaged, match="sha256"):
        load_encoder("colors", own=workspace.models.folder)
    found = [finding for finding in check(workspace.folder, workspace) if finding.level == "error"]
    assert len(found) == 1
    assert "colors" in found[0].what
    (graph.parent / "card.json").write_text("{")
    assert Models(workspace.folder).cards() == {}
    assert list(workspace.models.broken()) == ["colors"]
    job = engine.jobs.wait(engine.jobs.submit("model-delete", "", {"name": "colors"}), 30)
    assert job.status == "done"
    assert workspace.models.broken() == {}


def test_a_finished_folder_that_is_not_whole_is_named_and_nothing_is_added(
    engine: Engine, workspace: Workspace, tmp_path: Path
) -> None:
    source = write_model(tmp_path / "colors")
    card = json.loads((source / "card.json").read_text())
    told = plan_model(AddModel(source=str(source), local=True))
    assert told["licence"] == card["licence"]
    (source / "model.onnx").write_bytes(b"cut")
    job = added(engine, source, local=True)
    assert job.status == "failed"
    assert job.error.startswith(f"{source} is not whole, so nothing was added.")
    assert ".work" not in job.error
    assert workspace.models.cards() == {}


def test_a_folder_is_added_and_stays_as_it_is(engine: Engine, workspace: Workspace, tmp_path: Path) -> None:
    folder = original(tmp_path / "mine", lasttoken=True, pooling_mode="lasttoken")
    write_tokenizer(folder / "tokenizer.json", special=False)  # the last token is a word, so that texts differ
    before = contents(folder)
    job = added(engine, folder, local=True, name="my-model")
    assert (job.status, job.error) == ("done", "")
    assert workspace.models.cards()["my-model"].pooling == "last"
    assert contents(folder) == before


def test_a_finished_folder_keeps_its_rows_under_another_name(
    engine: Engine, workspace: Workspace, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "finished")
    assert added(engine, folder, local=True, name="other").status == "done"
    first = load_encoder("other", provider="cpu", own=workspace.models.folder)
    assert np.allclose(first.encode_documents(["blue"]), [TABLE[[2, 6, 3]].mean(axis=0)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"remove": "config.json"}, "no config.json"),
        ({"remove": "onnx/model.onnx"}, "in no form that is known"),
        ({"remove": "onnx/model.onnx", "pytorch_model.bin": b"x"}, "pickles"),
        ({"1_Pooling/config.json": b'{"pooling_mode_mean_sqrt_len_tokens": true}'}, "mean_sqrt_len_tokens"),
        (
            {"1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}'},
            "is not supported",
        ),
        ({"config_sentence_transformers.json": b'{"similarity_fn_name": "euclidean"}'}, "euclidean"),
        ({"onnx/model.onnx": b"no graph"}, "cannot be opened"),
        ({"tokenizer.json": b"{}"}, "cannot be read as a tokenizer"),
    ],
)
def test_folders_that_cannot_be_used_say_why(
    engine: Engine, workspace: Workspace, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    folder = original(tmp_path / "mine")
    for name, content in change.items():
        if name == "remove":
            (folder / content).unlink()
        else:
            (folder / name).write_bytes(content)
    job = added(engine, folder, local=True)
    assert job.status == "failed"
    assert told in job.error
    assert workspace.models.cards() == {}


def test_weights_are_converted_in_a_child_and_get_the_prompts_of_their_makers(
    engine: Engine, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = write_model(tmp_path / "converted")
    code = f"import json, shutil, sys; told = json.load(sys.stdin); told['task'] == 'try' and sys.exit(); assert told['quantise'] == 'int8' and told['family'] == 'dense', told; shutil.copytree({str(converted)!r}, told['out_folder'])"
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", code))
    folder = original(tmp_path / "e5-small-v2", graph=False)
    (folder / "config_sentence_transformers.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    assert "torch" in added(engine, folder, local=True).error or all(map(find_spec, adding.CONVERTERS))
    monkeypatch.setattr(adding, "CONVERTERS", ())
    job = added(engine, folder, local=True, replace=True)
    assert (job.status, job.error) == ("done", "")
    card = workspace.models.cards()["e5-small-v2"]
    assert (card.prompts.query, card.prompts.document) == ("query: ", "passage: ")


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\ntags:\n- x\n---\n# Tiny\n", "Apache-2.0"),
        ("---\nlicense: 'openrail'\n---\n", "openrail"),
        ("# Tiny\n\nlicense: mit\n", "unknown"),
        ("---\nlicense: <b>mit</b>\n---\n", "unknown"),
    ],
)
def test_the_license_of_a_folder_is_what_its_readme_states(
    engine: Engine, workspace: Workspace, tmp_path: Path, readme: str, licence: str
) -> None:
    folder = original(tmp_path / "mine")
    (folder / "README.md").write_text(readme)
    assert plan_model(AddModel(source=str(folder), local=True))["licence"] == licence
    assert added(engine, folder, local=True).status == "done"
    assert workspace.models.cards()["mine"].licence == licence


def test_names_are_made_usable(tmp_path: Path) -> None:
    assert AddModel(source=str(tmp_path / "My model (v2)"), local=True).target == "My-model-v2"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "CON", "nul.txt", "x" * 101, "a b", "é", "x."])
def test_names_that_are_no_names(engine: Engine, workspace: Workspace, tmp_path: Path, name: str) -> None:
    job = added(engine, original(tmp_path / "mine"), local=True, name=name)
    assert job.status == "failed"
    assert "name of a model" in job.error
    assert sorted(path.name for path in workspace.folder.parent.iterdir()) == ["mine", "workspace"]


def test_sources_that_are_none(engine: Engine, workspace: Workspace, tmp_path: Path) -> None:
    for source, told in (
        ("no-such-model", "catalogue"),
        ("../../etc", "OWNER/NAME"),
        ("mxbai-rerank-base-v2", "cannot be added"),
    ):
        assert told in added(engine, source).error
    assert "is not a folder" in added(engine, tmp_path / "absent", local=True).error


def test_names_that_are_taken(engine: Engine, workspace: Workspace, tmp_path: Path) -> None:
    folder = original(tmp_path / "mine")
    assert "bundled" in added(engine, folder, local=True, name="all-MiniLM-L6-v2").error
    assert "bundled" in added(engine, folder, local=True, name="ALL-minilm-l6-v2").error
    assert added(engine, folder, local=True).status == "done"
    assert "already a model" in added(engine, folder, local=True).error
    before = workspace.models.cards()["mine"]
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    assert added(engine, folder, local=True, replace=True).status == "done"
    assert workspace.models.cards()["mine"].fingerprint != before.fingerprint


def test_a_model_that_is_not_here_says_how_to_get_it(engine: Engine, workspace: Workspace) -> None:
    with pytest.raises(BadInput, match=r"triptych models add bge-small-en-v1.5"):
        model_folder("bge-small-en-v1.5", workspace.models.folder)


DENSE = DenseIndex(model="colors", structure="exact")


@pytest.fixture
def colors(engine: Engine, tmp_path: Path) -> Engine:
    """Three colors as documents, and an index of them by a model that was added."""
    workspace = engine.workspace
    assert added(engine, write_model(tmp_path / "colors", similarity="cosine"), local=True).status == "done"
    papers = workspace.create_collection("papers").collection_id
    workspace.documents.upsert(papers, [Record(word, "", word) for word in ("red", "green", "blue")], "colors")
    build_index(workspace, papers, DENSE)
    return engine


def nearest(engine: Engine, word: str) -> str:
    searcher = engine.searcher(engine.workspace.collection("papers").collection_id)
    ranking = Dense(model="colors", structure="exact", k=1).run(Ranking.of([("q", word)]), searcher.context())
    return str(ranking.hits["doc_id"][0])


def test_an_index_of_a_replaced_model_is_never_searched(colors: Engine, tmp_path: Path) -> None:
    workspace = colors.workspace
    assert nearest(colors, "green") == "green"
    view = colors.searcher(workspace.collection("papers").collection_id)
    # The same name and the same dimensions, but every word means another color.
    other = write_model(tmp_path / "other" / "colors", table=TABLE[[0, 1, 2, 3, 5, 6, 4, 7, 8]], similarity="cosine")
    assert added(colors, other, local=True, replace=True).status == "done"
    with pytest.raises(IndexNotReady, match="another version"):
        nearest(colors, "green")
    with pytest.raises(IndexNotReady, match="search again"):
        view.encoder("colors")
    build_index(workspace, view.collection_id, DENSE)
    assert nearest(colors, "green") == "green"


def test_deletion_names_the_collections_that_use_a_model(colors: Engine) -> None:
    workspace = colors.workspace
    papers = workspace.collection("papers").collection_id
    assert [(use.collection, use.kind) for use in uses(workspace, "colors")] == [("papers", "dense")]
    job = colors.jobs.wait(colors.jobs.submit("model-delete", "", {"name": "colors"}), 30)
    assert job.status == "failed"
    assert "'papers'" in job.error
    assert nearest(colors, "blue") == "blue"
    job = colors.jobs.wait(colors.jobs.submit("model-delete", "", {"name": "colors", "force": True}), 30)
    assert (job.status, job.counts) == ("done", {"indexes_dropped": 1})
    assert workspace.models.cards() == {}
    assert workspace.generations.live(papers) == []
    with pytest.raises(IndexNotReady):
        nearest(colors, "blue")


def test_a_model_that_was_published_when_the_program_ended_is_not_added_twice(
    engine: Engine, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end between the publication and the note that the job is done: what was downloaded is still being removed then."""
    source = original(tmp_path / "tiny")

    def ended(key: str) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(workspace.models, "drop_work", ended)
        job = added(engine, source, local=True)
    published = workspace.models.cards()["tiny"]
    assert job.status == "failed"
    engine.jobs.resume(job.job_id)
    again = engine.jobs.wait(job.job_id, 60)
    assert (again.status, again.counts["model"]) == ("done", "tiny")
    assert workspace.models.cards()["tiny"] == published
    assert not list((workspace.models.folder / ".work").iterdir())
    assert "already a model 'tiny'" in added(engine, source, local=True).error, "another job is told as before"


def test_a_forced_deletion_that_was_interrupted_is_finished(colors: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = colors.workspace
    papers = workspace.collection("papers").collection_id
    remove, ends = workspace.models.remove, [True, False]

    def removed(name: str) -> None:
        if ends.pop(0):
            raise SystemExit
        remove(name)

    monkeypatch.setattr(workspace.models, "remove", removed)
    job = colors.jobs.submit("model-delete", "", {"name": "colors", "force": True})
    assert colors.jobs.wait(job, 30).status == "failed"
    colors.jobs.resume(job)
    assert colors.jobs.wait(job, 30).status == "done"
    assert workspace.models.cards() == {}
    assert workspace.generations.live(papers) == []


def test_a_start_puts_back_what_a_replacement_had_put_aside(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    write_model(folder / ".old" / uuid.uuid4().hex / "tiny")
    mine = write_model(folder / ".old" / "mine" / "small")
    done, waiting, unknown = (uuid.uuid4().hex for _ in range(3))
    for name in (done, waiting, unknown, "mine"):
        (folder / ".work" / name).mkdir(parents=True)
    (folder / "notes").mkdir()
    models = Models(tmp_path)
    assert models.cards() == {}
    assert models.sweep([waiting], [done, waiting, "mine"]) == [f"models/.work/{done[:8]}"]
    assert list(models.cards()) == ["tiny"]
    assert sorted(path.name for path in folder.iterdir()) == [".old", ".work", "notes", "tiny"]
    assert sorted(path.name for path in (folder / ".work").iterdir()) == sorted([waiting, unknown, "mine"])
    assert (folder / ".old" / "mine" / "small").is_dir(), mine


def test_a_deleted_model_takes_nothing_with_it_that_its_card_does_not_list(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "tiny")
    (tmp_path / "models" / "tiny" / "notes.txt").write_text("measured on Monday")
    elsewhere = tmp_path / "elsewhere"
    write_model(elsewhere / "linked")
    (tmp_path / "models" / "linked").symlink_to(elsewhere / "linked")
    before = sorted(elsewhere.rglob("*"))
    models = Models(tmp_path)
    models.remove("tiny")
    models.remove("linked")
    assert models.cards() == {}
    assert [path.name for path in (tmp_path / "models").iterdir()] == []
    assert sorted(elsewhere.rglob("*")) == before
    kept = {path.name.split("-", 3)[-1]: path for path in (tmp_path / "quarantine").iterdir()}
    assert sorted(kept) == ["linked", "tiny"]
    assert [(path.name, path.read_text()) for path in kept["tiny"].iterdir()] == [("notes.txt", "measured on Monday")]
    assert kept["linked"].is_symlink()


def test_bundled_models_cannot_be_deleted(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="comes with the program"):
        Models(tmp_path).remove("all-MiniLM-L6-v2")
    with pytest.raises(NotFound, match="'x'"):
        Models(tmp_path).remove("x")
