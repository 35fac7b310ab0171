"""Configuration files of models from strangers: damaged, nested, of another form, or links to what was not offered."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from engine.errors import BadInput, TriptychError
from engine.jobs.model_add import AddModel
from engine.jobs.model_plan import plan_model
from engine.models.family import detect_family
from engine.models.hub.sources import local_sizes
from engine.models.settings import refuse_links_out
from engine.serving.engine import Engine
from tests.models.test_adding import original

DEEP = "[" * 100_000 + "]" * 100_000
NAMED = [
    "config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer_config.json", "1_Pooling/config.json",
    "router_config.json",
]  # fmt: skip


def told(engine: Engine, source: Path) -> str:
    """What adding the folder as a model ends with; nothing but errors of the program's own."""
    job = engine.jobs.submit("model-add", "", {"source": str(source), "local": True})
    done = engine.jobs.wait(job, 120)
    assert "Unexpected" not in done.error
    assert (done.status == "failed") == bool(done.error)
    return done.error


@pytest.mark.parametrize("name", [*NAMED, "tokenizer.json"])
@pytest.mark.parametrize(
    "content",
    [DEEP.encode(), b'{"a":' * 100_000, b"{", b"", b"\xff\xfe\x00", b'"text"', b"null", b'{"max_seq_length": ' + b"9" * 5000 + b"}"],
    ids=["deep", "deeper", "cut", "empty", "no text", "a text", "null", "digits"],
)  # fmt: skip
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, name: str, content: bytes) -> None:
    source = original(tmp_path / "model")
    (source / name).write_bytes(content)
    with Engine.open(tmp_path / "workspace") as engine:
        error = told(engine, source)
        if content == b"null" and name != "tokenizer.json":
            return  # as if it were not there
        assert name.rpartition("/")[2] in error
        assert "again" in error
        assert engine.workspace.models.cards() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modules.json", [1]), ("modules.json", [{"type": 5}]), ("modules.json", [{"path": ["a"]}]), ("modules.json", {}),
        ("modules.json", [{"type": "x.Pooling", "path": "../../etc"}]), ("modules.json", [{"type": "x.Pooling", "path": "/etc"}]),
        ("modules.json", [{"type": "x.Pooling", "path": "C:\\x"}]), ("modules.json", [{"type": "x.Pooling", "path": "a\0b"}]),
    ],
)  # fmt: skip
def test_stages_of_another_form_or_elsewhere_are_refused(tmp_path: Path, name: str, value: object) -> None:
    source = original(tmp_path / "model")
    (source / name).write_text(json.dumps(value))
    with pytest.raises(BadInput, match=r"modules\.json .*Fetch it again"):
        plan_model(AddModel(source=str(source), local=True))
    with pytest.raises(BadInput, match=r"modules\.json"):
        detect_family(str(source))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config.json", {"architectures": 5}), ("config.json", {"architectures": [[]]}), ("config.json", {"architectures": {"a": 1}}),
        ("config.json", {"id2label": 3, "architectures": ["XForSequenceClassification"]}), ("config.json", {"num_labels": "one"}),
        ("config.json", {"max_position_embeddings": 1e300}), ("config.json", {"max_position_embeddings": float("nan")}),
        ("config_sentence_transformers.json", {"model_type": ["SparseEncoder"]}), ("config_sentence_transformers.json", {"prompts": [1]}),
        ("config_sentence_transformers.json", {"similarity_fn_name": {}}), ("router_config.json", {"types": [1]}),
        ("router_config.json", {"types": {"a": ["x"]}}), ("1_Pooling/config.json", {"pooling_mode": [1]}),
        ("1_Pooling/config.json", {"pooling_mode": "../../x"}), ("sentence_bert_config.json", {"max_seq_length": "many"}),
        ("tokenizer_config.json", {"model_max_length": float("inf")}),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_no_crash(tmp_path: Path, name: str, value: object) -> None:
    source = original(tmp_path / "model")
    (source / name).write_text(json.dumps(value))
    with Engine.open(tmp_path / "workspace") as engine:
        told(engine, source)
    with contextlib.suppress(TriptychError):
        detect_family(str(source))


def test_a_link_out_of_the_folder_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    for name in ("tokenizer.json", "vocab.txt", "onnx/model.onnx", "1_Pooling/config.json", "1_Pooling"):
        source = original(tmp_path / name.replace("/", "-"))
        if (source / name).is_dir():
            (source / name).rename(tmp_path / "pooling")
            (source / name).symlink_to(tmp_path / "pooling")
        else:
            (source / name).unlink(missing_ok=True)
            (source / name).symlink_to(os.path.relpath(secret, (source / name).parent))
        for reading in (
            lambda folder: local_sizes(folder),
            lambda folder: detect_family(str(folder)),
            lambda folder: plan_model(AddModel(source=str(folder), local=True)),
        ):
            with pytest.raises(BadInput, match=rf"{name.rpartition('/')[2]} is a link that leads out"):
                reading(source)
        with Engine.open(tmp_path / "workspace") as engine:
            assert "is a link that leads out" in told(engine, source)
            assert engine.workspace.models.cards() == {}


def test_links_inside_and_those_of_the_hub_s_cache_are_read(tmp_path: Path) -> None:
    source = original(tmp_path / "model")
    (source / "real.json").write_bytes((source / "tokenizer.json").read_bytes())
    (source / "tokenizer.json").unlink()
    (source / "tokenizer.json").symlink_to("real.json")
    (tmp_path / "short").symlink_to(source)
    assert local_sizes(tmp_path / "short")["tokenizer.json"] == (source / "real.json").stat().st_size
    cached = original(tmp_path / "models--a--b" / "snapshots" / "c0ffee")
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    (cached / "config.json").rename(blobs / "d1ce")
    (cached / "config.json").symlink_to("../../blobs/d1ce")
    refuse_links_out(cached)
    (cached / "vocab.txt").symlink_to(tmp_path / "model" / "config.json")
    with pytest.raises(BadInput, match="leads out"):
        refuse_links_out(cached)


def test_a_link_to_itself_is_no_crash(tmp_path: Path) -> None:
    source = original(tmp_path / "model")
    (source / "round").symlink_to("round")
    with pytest.raises(BadInput, match="leads out"):
        local_sizes(source)
