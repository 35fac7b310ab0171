"""The specification: YAML both ways, operators, schema, bad input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.fusers.comb_mnz import CombMnz
from engine.fusers.rrf import Rrf
from engine.fusers.wsum import WeightedSum
from engine.pipeline.stages import Cutoff, Fuse, PipelineSpec, Stage, Then, json_schema
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense

leaves = st.one_of(
    st.builds(
        Bm25, k=st.integers(1, 500), k1=st.sampled_from([0.9, 1.2, 2.0]), analyzer=st.sampled_from(["english", "any"])
    ),
    st.builds(Dense, k=st.integers(1, 500)),
)
methods = st.one_of(
    st.builds(Rrf, k=st.integers(0, 100)),
    st.builds(WeightedSum, norm=st.sampled_from(["min-max", "z-score", "none"])),
    st.builds(CombMnz),
)


def grown(children: st.SearchStrategy[Stage]) -> st.SearchStrategy[Stage]:
    return st.one_of(
        st.builds(lambda i, m: Fuse(inputs=tuple(i), method=m), st.lists(children, min_size=2, max_size=3), methods),
        st.builds(lambda s, k: s % k, children, st.integers(1, 1000)),
    )


stages = st.recursive(leaves, grown, max_leaves=6)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)


@given(stages, names)
def test_yaml_and_back_is_the_same_specification(stage, name):
    spec = PipelineSpec(name=name, pipeline=stage)
    again = PipelineSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert hash(again) == hash(spec)


@pytest.mark.parametrize("text", ["words &meaning", "see *Rank fusion*", "x: *y", "- &a", "[[{"])
def test_marks_of_yaml_inside_a_text_are_text(text):
    spec = PipelineSpec(name=text, description=text, pipeline=Bm25())
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec


def test_operators_build_the_tree():
    spec = Fuse(inputs=(Bm25(), Dense()), method=Rrf(k=60)) % 100 >> Cutoff(k=10)
    assert spec == Then(stages=(Fuse(inputs=(Bm25(), Dense())), Cutoff(k=100), Cutoff(k=10)))


def test_short_forms():
    spec = PipelineSpec.from_yaml("pipeline:\n- fuse:\n    inputs: [bm25, dense: {k: 7}]\n    method: comb_mnz\n")
    assert spec.pipeline == Fuse(inputs=(Bm25(), Dense(k=7)), method=CombMnz())


def test_the_indexes_that_a_pipeline_reads_are_listed_once():
    spec = PipelineSpec.from_yaml("pipeline:\n- fuse: {inputs: [bm25: {k: 5}, bm25: {k: 9}, dense]}\n")
    assert spec.index_specs() == [Bm25().index_spec(), Dense().index_spec()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pipeline: nothing", "no stage called 'nothing'"),
        ("pipeline: []", "at least one stage"),
        ("pipeline:\n- bm25: {k: 0}", "greater than or equal to 1"),
        ("pipeline:\n- bm25: {kk: 5}", "kk"),
        ("pipeline:\n- fuse: {inputs: [bm25]}", "at least 2"),
        ("pipeline:\n- fuse: {inputs: [bm25, dense], method: magic}", "no fusion method called 'magic'"),
        ("pipeline: {bm25: {}, dense: {}}", "name: {parameters}"),
        ("pipeline: [bm25", "Line 1"),
        ("title: x\npipeline: bm25", "title"),
        ("just words", "holds `name:` and `pipeline:`"),
        ("a: &x [1]\npipeline: *x", "Anchors"),
        ("pipeline: [&stage bm25]", "Anchors"),
        ("pipeline: " + "[" * 500 + "bm25" + "]" * 500, "nested deeper|cannot be parsed"),
        ("pipeline: " + "[" * 60_000, "nested deeper"),
        ("? [bm25]\n: dense", "not YAML"),
        ("pipeline:\n- bm25: {k: 0x" + "f" * 20_000 + "}", "not YAML"),
        ("pipeline:\n- fuse: {inputs: [bm25, dense], method: {rrf: {weights: [.nan, 1]}}}", "finite number"),
        ("pipeline:\n- fuse: {inputs: [bm25, dense], method: {wsum: {weights: [1, .inf]}}}", "finite number"),
        (
            "pipeline:\n- fuse: {inputs: [bm25, dense], method: {comb_sum: {statistics: [[0, .nan], [0, 1]]}}}",
            "finite number",
        ),
        ("#" * 70_000, "at most 64,000"),
        ("pipeline: !!python/object:os.system {}", "not YAML|stage"),
    ],
)
def test_bad_pipelines_say_what_is_wrong(text, message):
    with pytest.raises(BadInput, match=message):
        PipelineSpec.from_yaml(text)


@pytest.mark.parametrize("depth", [12, 13])
def test_lists_in_lists_have_a_bottom(depth):
    text = "pipeline: " + "[" * depth + "bm25" + "]" * depth
    if depth == 12:
        assert PipelineSpec.from_yaml(text).pipeline == Bm25()
    else:
        with pytest.raises(BadInput, match="nested deeper than 12 stages"):
            PipelineSpec.from_yaml(text)


def test_fusions_in_fusions_have_a_bottom():
    def nested(depth):
        return "{fuse: {inputs: [bm25, " * depth + "dense" + "]}}" * depth

    assert len(PipelineSpec.from_yaml("pipeline: " + nested(10)).index_specs()) == 2
    with pytest.raises(BadInput, match="nested deeper than 12 stages"):
        PipelineSpec.from_yaml("pipeline: " + nested(20))


def test_a_pipeline_without_a_description_is_written_without_one():
    assert "description" not in PipelineSpec(name="x", pipeline=Bm25()).to_yaml()
    assert "description: Words first." in PipelineSpec(description="Words first.", pipeline=Bm25()).to_yaml()


def test_the_schema_describes_every_stage_and_resolves():
    schema = json_schema()
    defs = schema["$defs"]
    assert {"bm25", "dense", "fuse", "cutoff", "rrf", "wsum", "comb_mnz"} <= set(defs)
    pending, seen = [schema], 0
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if "$ref" in item:
                assert item["$ref"].removeprefix("#/$defs/") in defs
                seen += 1
            assert "x-family" not in item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    assert seen > 5
    for name in ("bm25", "dense", "fuse", "cutoff", "rrf", "wsum", "comb_mnz"):
        for field, about in defs[name]["properties"].items():
            assert about.get("description"), f"{name}.{field} has no description"
