"""Schema -> form -> specification: the form says nothing that the specification does not, and loses nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fakes import SCHEMA
from hypothesis import given
from hypothesis import strategies as st

from app.drawing import schema_form as form
from app.ui.pages.editor import view as pipelines
from engine.errors import BadInput
from engine.pipeline.stages import PipelineSpec, json_schema

HYBRID = {
    "name": "Hybrid",
    "pipeline": [
        {"fuse": {"inputs": [[{"bm25": {"k": 50}}], [{"dense": {}}]], "method": {"rrf": {"k": 60}}}},
        {"cutoff": {"k": 10}},
    ],
}


def fields(schema: dict[str, Any], spec: dict[str, Any]) -> dict[form.Path, form.Field]:
    return {field.path: field for field in form.walk(form.root(schema, spec))}


def test_every_parameter_is_a_field_with_its_default_and_bounds() -> None:
    found = fields(SCHEMA, HYBRID)
    k = found[("pipeline", 0, "fuse", "inputs", 0, 0, "bm25", "k")]
    assert (k.kind, k.value, k.low, k.high, k.description) == ("integer", 50, 1, 1000, "How many.")
    assert found[("pipeline", 0, "fuse", "inputs", 0, 0, "bm25", "analyzer")].choices == ("english", "any")
    assert found[("pipeline", 0, "fuse", "inputs", 1, 0, "dense", "model")].value == "all-MiniLM-L6-v2"
    assert found[("pipeline", 0, "fuse", "inputs", 1, 0, "dense", "ef")].nullable
    assert found[("pipeline", 0, "fuse", "method", "rrf", "weights")].kind == "numbers"
    assert ("pipeline", 1, "cutoff", "k") in found
    assert len(found) == 3 + 3 + 2 + 1


def test_writing_every_field_back_changes_nothing() -> None:
    schema = json_schema()
    yaml = "pipeline:\n- fuse:\n    inputs:\n    - bm25: {k: 7, k1: 0.9}\n    - dense: {}\n    method: {wsum: {weights: [0.25, 0.75]}}\n- cutoff: {k: 5}\n"
    before = PipelineSpec.from_yaml(yaml)
    spec = form.normal(schema, before.model_dump(mode="json", by_alias=True))
    for path, field in fields(schema, spec).items():
        spec = form.edit(schema, spec, "set", path, form.show(field))
    assert PipelineSpec.model_validate(spec) == before


@given(
    st.integers(1, 1000),
    st.floats(0, 10, allow_nan=False),
    st.sampled_from(["english", "any"]),
    st.lists(st.floats(-5, 5, allow_nan=False), max_size=3),
)
def test_what_is_set_is_what_is_read(k: int, k1: float, analyzer: str, weights: list[float]) -> None:
    base = ("pipeline", 0, "fuse", "inputs", 0, 0, "bm25")
    spec: dict[str, Any] = HYBRID
    for name, value in (("k", str(k)), ("k1", repr(k1)), ("analyzer", analyzer)):
        spec = form.edit(SCHEMA, spec, "set", (*base, name), value)
    spec = form.edit(
        SCHEMA, spec, "set", ("pipeline", 0, "fuse", "method", "rrf", "weights"), ", ".join(map(repr, weights))
    )
    assert spec["pipeline"][0]["fuse"]["inputs"][0][0]["bm25"] == {"k": k, "k1": k1, "analyzer": analyzer}
    assert spec["pipeline"][0]["fuse"]["method"]["rrf"]["weights"] == weights
    assert HYBRID["pipeline"][0]["fuse"]["inputs"][0][0]["bm25"] == {"k": 50}, "the given specification is left alone"


@given(st.sampled_from(["text", "numbers"]), st.text(max_size=12))
def test_reading_never_fails_but_with_bad_input(kind: str, text: str) -> None:
    path = ("pipeline", 0, "fuse", "method", "rrf", "weights") if kind == "numbers" else ("pipeline", 1, "cutoff", "k")
    with suppress(BadInput):
        assert form.edit(SCHEMA, HYBRID, "set", path, text) != {}


def test_nullable_fields_are_emptied_and_flags_set() -> None:
    dense = ("pipeline", 0, "fuse", "inputs", 1, 0, "dense")
    spec = form.edit(SCHEMA, HYBRID, "set", (*dense, "exact"), "true")
    spec = form.edit(SCHEMA, spec, "set", (*dense, "ef"), "")
    assert spec["pipeline"][0]["fuse"]["inputs"][1][0]["dense"] == {"exact": True, "ef": None}


def test_adding_replacing_moving_and_removing() -> None:
    spec = form.edit(SCHEMA, HYBRID, "add", ("pipeline",), "dense")
    assert [next(iter(stage)) for stage in spec["pipeline"]] == ["fuse", "cutoff", "dense"]
    spec = form.edit(SCHEMA, spec, "up", ("pipeline", 2))
    assert [next(iter(stage)) for stage in spec["pipeline"]] == ["fuse", "dense", "cutoff"]
    spec = form.edit(SCHEMA, spec, "remove", ("pipeline", 1))
    spec = form.edit(SCHEMA, spec, "add", ("pipeline", 0, "fuse", "inputs"), "bm25")
    assert spec["pipeline"][0]["fuse"]["inputs"][2] == [{"bm25": {}}]
    spec = form.edit(SCHEMA, spec, "replace", ("pipeline", 0, "fuse", "method"), "wsum")
    assert spec["pipeline"][0]["fuse"]["method"] == {"wsum": {}}


def test_a_new_fusion_comes_with_inputs() -> None:
    spec = form.edit(SCHEMA, {"pipeline": [{"bm25": {}}]}, "replace", ("pipeline", 0), "fuse")
    assert spec["pipeline"] == [{"fuse": {"inputs": [[{"bm25": {}}], [{"dense": {}}]]}}]


def test_every_stage_of_the_engine_can_be_added() -> None:
    schema = json_schema()
    for name in form.choices(schema, "stage"):
        spec = form.edit(schema, form.normal(schema, {"pipeline": {"bm25": {}}}), "add", ("pipeline",), name)
        checked = PipelineSpec.model_validate(spec)
        html = pipelines.form(schema, form.normal(schema, checked.model_dump(mode="json")))
        assert f'value="{name}" selected' in html


@pytest.mark.parametrize(
    ("operation", "path", "value"),
    [
        ("set", ("name",), "x"),
        ("set", ("pipeline", 0, "fuse"), "x"),
        ("set", ("pipeline", 9, "cutoff", "k"), "1"),
        ("add", ("pipeline", 1, "cutoff"), "bm25"),
        ("add", ("pipeline",), "__class__"),
        ("replace", ("pipeline", 0), "nope"),
        ("remove", ("pipeline",), ""),
        ("remove", ("pipeline", 1, "cutoff", "k"), ""),
        ("up", ("pipeline", 99), ""),
        ("explode", ("pipeline", 0), ""),
    ],
)
def test_edits_that_the_form_cannot_offer_are_refused(operation: str, path: form.Path, value: str) -> None:
    with pytest.raises(BadInput):
        form.edit(SCHEMA, HYBRID, operation, path, value)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[true]", "[1.5]", "[[]]", "not json", "[" * 100, str(["x"] * 100)])
def test_paths_from_the_page_are_checked(text: str) -> None:
    with pytest.raises(BadInput):
        form.parse_path(text)


def test_hostile_nesting_is_refused() -> None:
    deep: Any = {"bm25": {}}
    for _ in range(200):
        deep = {"fuse": {"inputs": [deep, deep], "method": {"rrf": {}}}}
    with pytest.raises(BadInput, match="deep"):
        form.normal(SCHEMA, {"pipeline": deep})
