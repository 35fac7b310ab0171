"""The dense encoder against values computed by hand from a two-dimensional model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.encoders.base import Encoder
from engine.encoders.dense import DenseEncoder
from engine.encoders.units import plan_units, run_units
from engine.errors import BadInput, Cancelled, WorkspaceDamaged
from engine.types import Ints, Progress
from tests.encoders.tiny import TABLE, rewrite_card, write_model

TEXTS = ["red", "red green blue", "", "green", "blue blue blue blue"]
# [CLS] is (1, 0), [SEP] (0, 1), red (4, 0), green (0, 4), blue (4, 4)
MEANS = [[5 / 3, 1 / 3], [9 / 5, 9 / 5], [1 / 2, 1 / 2], [1 / 3, 5 / 3], [17 / 6, 17 / 6]]


def test_is_an_encoder(tmp_path: Path) -> None:
    assert isinstance(DenseEncoder.load(write_model(tmp_path)), Encoder)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_mean_pooling_leaves_padding_out(tmp_path: Path, mask: bool, threads: int) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path, mask=mask), threads=threads)
    rows = encoder.encode_documents(TEXTS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, MEANS, rtol=1e-6)


@pytest.mark.parametrize(("pooling", "expected"), [("cls", [[1, 0]] * 5), ("last", [[0, 1]] * 5)])
def test_cls_and_last_pooling(tmp_path: Path, pooling: str, expected: list[list[int]]) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path, pooling=pooling))
    np.testing.assert_array_equal(encoder.encode_documents(TEXTS), expected)


def test_last_pooling_without_special_tokens(tmp_path: Path) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path, special=False, pooling="last"))
    np.testing.assert_array_equal(
        encoder.encode_documents(["red green", "blue red red", "green"]), [[0, 4], [4, 0], [0, 4]]
    )


def test_cosine_models_return_unit_vectors(tmp_path: Path) -> None:
    rows = DenseEncoder.load(write_model(tmp_path, similarity="cosine")).encode_documents(["red", "red green blue"])
    np.testing.assert_allclose(rows, [[5 / 26**0.5, 1 / 26**0.5], [0.5**0.5, 0.5**0.5]], rtol=1e-6)


def test_prompts_stand_before_queries_and_documents(tmp_path: Path) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    encoder = DenseEncoder.load(write_model(tmp_path, prompts=prompts))
    np.testing.assert_allclose(encoder.encode_queries(["red"]), [[13 / 4, 1 / 4]])
    np.testing.assert_allclose(encoder.encode_documents(["red"]), [[5 / 4, 9 / 4]])


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path, max_tokens=4))
    texts = ["red red green green green", "red red", "red"]
    np.testing.assert_allclose(encoder.encode_queries(texts)[0], [9 / 4, 1 / 4])
    assert encoder.dropped_tokens(texts).tolist() == [3, 0, 0]
    with pytest.raises(BadInput, match="role"):
        encoder.dropped_tokens(texts, "title")


def test_text_without_tokens_is_a_zero_row(tmp_path: Path) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path, special=False, similarity="cosine"))
    np.testing.assert_array_equal(encoder.encode_documents(["", "red", "  "]), [[0, 0], [1, 0], [0, 0]])
    assert encoder.encode_documents([]).shape == (0, 2)
    assert encoder.token_attributions("red", "").tokens == ()


def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    encoder = DenseEncoder.load(write_model(tmp_path))
    np.testing.assert_array_equal(encoder.encode_documents(["red \ud800"]), encoder.encode_documents(["red ?"]))


def test_int8_models_see_one_text_a_call(tmp_path: Path) -> None:
    """The graph adds the batch size to every state, as dynamic quantization lets batch-mates change a vector."""
    encoder = DenseEncoder.load(write_model(tmp_path, batch_effect=True, quantisation="int8", mask=False))
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), np.array(MEANS) + 1, rtol=1e-6)


def test_progress_is_complete_and_ordered(tmp_path: Path) -> None:
    heard: list[Progress] = []
    texts = ["red " * (1 + row % 6) for row in range(5000)]
    DenseEncoder.load(write_model(tmp_path), threads=2).encode_documents(texts, heard.append)
    done = [step.done for step in heard]
    assert done == sorted(done)
    assert (heard[0].done, heard[-1].done) == (0, 5000)
    assert {(step.phase, step.total) for step in heard} == {("encode", 5000)}
    assert len(heard) > 10


def test_cancel_stops_the_threads(tmp_path: Path) -> None:
    heard: list[int] = []

    def cancel(step: Progress) -> None:
        heard.append(step.done)
        if step.done:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        DenseEncoder.load(write_model(tmp_path), threads=2).encode_documents(["red green blue"] * 4000, cancel)
    assert heard[-1] < 4000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


def test_units_run_only_a_little_ahead_of_the_consumer() -> None:
    started: list[int] = []
    units: list[Ints] = [np.array([row]) for row in range(1000)]
    running = run_units(units, lambda unit: started.append(int(unit[0])), threads=2)
    assert next(running).tolist() == [0]
    running.close()
    assert len(started) <= 6


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fail(unit: Ints) -> None:
        if unit[0] == 3:
            raise ValueError("unit three")

    with pytest.raises(ValueError, match="unit three"):
        list(run_units([np.array([row]) for row in range(10)], fail, threads=2))


def test_units_are_longest_first_within_the_budget() -> None:
    lengths = np.array([3, 0, 10, 4, 4, 3])
    plan = [unit.tolist() for unit in plan_units(lengths, 12, same_length=False)]
    assert plan == [[2], [3, 4, 0], [5]]
    plan = [unit.tolist() for unit in plan_units(lengths, 12, same_length=True)]
    assert plan == [[2], [3, 4], [0, 5]]


def test_attributions_sum_to_the_score(tmp_path: Path) -> None:
    prompts = {"query": "", "document": "passage: "}
    encoder = DenseEncoder.load(write_model(tmp_path, similarity="cosine", prompts=prompts))
    found = encoder.token_attributions("green", "red  blue")
    score = float(encoder.encode_queries(["green"])[0] @ encoder.encode_documents(["red  blue"])[0])
    assert found.score == pytest.approx(score, abs=1e-6)
    # query (1, 5)/√26; states (1,0) (0,8) (4,0) (4,4) (0,1): mean (9, 13)/5, of length √250/5
    expected = [dot / (26**0.5 * 250**0.5) for dot in (1, 40, 4, 24, 5)]
    assert [token.contribution for token in found.tokens] == pytest.approx(expected)
    assert [(token.token, token.start, token.end) for token in found.tokens] == [
        ("[CLS]", 0, 0),
        ("passage:", 0, 0),
        ("red", 0, 3),
        ("blue", 5, 9),
        ("[SEP]", 0, 0),
    ]


def test_attributions_of_dot_products_and_refusal_of_other_poolings(tmp_path: Path) -> None:
    found = DenseEncoder.load(write_model(tmp_path / "dot")).token_attributions("red", "green")
    assert [token.contribution for token in found.tokens] == pytest.approx([5 / 9, 4 / 9, 1 / 9])
    with pytest.raises(BadInput, match="mean pooling"):
        DenseEncoder.load(write_model(tmp_path / "cls", pooling="cls")).token_attributions("red", "green")


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    table = TABLE.copy()
    table[6] = np.nan
    encoder = DenseEncoder.load(write_model(tmp_path, table=table))
    assert np.isfinite(encoder.encode_documents(["red"])).all()
    with pytest.raises(BadInput, match="not finite for 1 texts, the first 'blue'"):
        encoder.encode_documents(["red", "blue"])


def test_dimensions_must_agree_with_the_card(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceDamaged, match="token states"):
        DenseEncoder.load(write_model(tmp_path, dimensions=3))


def test_unreadable_model_and_tokenizer_are_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / "tokenizer.json").write_text("<html>not found</html>")
    with pytest.raises(WorkspaceDamaged, match=r"tokenizer\.json"):
        DenseEncoder.load(rewrite_card(folder))
    write_model(folder)
    (folder / "model.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(WorkspaceDamaged, match=r"model\.onnx cannot be read"):
        DenseEncoder.load(rewrite_card(folder))
