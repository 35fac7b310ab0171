"""The contract that every model family keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.base import Encoder
from engine.encoders.opening import open_encoder
from engine.errors import BadInput
from engine.indexes.stored.rows import row_kind
from engine.models.card import read_card
from engine.models.family import Hint, ModelFamily, Original, families
from engine.pipeline.stages import PipelineSpec
from engine.testing.fakes import SENTENCES


def check_family(family: ModelFamily, folder: Path, texts: tuple[str, ...] = SENTENCES) -> None:
    """The contract of the model families, on a model of this one in `folder`: it is opened as what the family says,
    tells `texts` apart, and is refused where it gives what is not finite, or the same zeros for all of them; its speed,
    its agreement with itself and its pipelines are known.
    """
    card = read_card(folder)
    assert card.family == family.name, "the model is one of this family"
    assert families()[family.name] == family, "it is found by its name"
    assert all((family.title, family.about, family.unit, family.brief)), "it has words for pages"
    model = family.open(folder, "cpu", 1)
    assert (model.card, model.fingerprint) == (card, card.fingerprint)
    (_check_scores if family.scores_pairs else _check_rows)(family, folder, model, texts)
    family.try_out(model, texts)
    for spoil in (np.nan, np.inf, 0.0):
        _refused(partial(family.try_out, _Spoiled(model, spoil), texts))
    _check_work(family, folder, model, texts)
    nothing = Original(folder / "missing", {}, frozenset(), "")
    assert family.hint(nothing) <= Hint.OTHERWISE, "files that say nothing do not speak for it"
    for name, description, steps in family.pipelines(card.name):
        text = "\n".join(f"  {line}" for line in steps.splitlines())
        spec = PipelineSpec.from_yaml(f"name: a pipeline\npipeline:\n{text}\n")
        assert name, "it has a name"
        assert description, "and says what it is"
        assert card.name in str(spec.model_dump()), "it uses the model that brings it along"


def _check_rows(family: ModelFamily, folder: Path, model: Any, texts: tuple[str, ...]) -> None:
    assert isinstance(model, Encoder)
    assert type(open_encoder(folder, "cpu", 1)) is type(model)
    kind = row_kind(model.card)
    assert kind == family.row_kind(model.card.dimensions)
    every, one = model.encode_documents(texts), model.encode_documents(texts[:1])
    kind.checked(every, len(texts), model.card.name)
    kind.checked(model.encode_queries(texts), len(texts), model.card.name)
    first = kind.gather([every], np.zeros(1, np.int64), np.zeros(1, np.int64))
    for found, expected in zip(kind.arrays(first), kind.arrays(one), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg="a row depends on its text alone")


def _check_scores(family: ModelFamily, folder: Path, model: Any, texts: tuple[str, ...]) -> None:
    found = model.score(texts[0], texts)
    assert found.shape == (len(texts),)
    np.testing.assert_allclose(model.score(texts[0], texts[1:2]), found[1:2], rtol=1e-4, atol=1e-5)
    _refused(lambda: open_encoder(folder, "cpu", 1))
    _refused(lambda: row_kind(model.card))


def _check_work(family: ModelFamily, folder: Path, model: Any, texts: tuple[str, ...]) -> None:
    """What benchmarks and exports ask."""
    assert min(family.rates(model, texts, texts[:2], 0)) > 0
    tokenizer = model.runner.tokenizer
    read = family.token_ids(tokenizer, model.card, texts[0], texts)
    assert [len(ids) for ids, _ in read] == [len(types) for _, types in read]
    assert len(read) == len(texts)
    assert family.samples(tokenizer, model.card, texts), "there is something to round by"
    assert family.agreement(folder, folder, texts).mean > 0.999, "a model agrees with itself"


def _refused(work: Callable[[], Any]) -> None:
    try:
        work()
    except BadInput:
        return
    raise AssertionError("it was to be refused with BadInput")


class _Spoiled:
    """A model all of whose numbers are `value`."""

    def __init__(self, model: Any, value: float) -> None:
        self._model, self._value, self.card = model, value, model.card

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *texts: _filled(getattr(self._model, name)(*texts), self._value)


def _filled(rows: Any, value: float) -> Any:
    if is_dataclass(rows) and not isinstance(rows, type):
        return replace(rows, **{field.name: _filled(getattr(rows, field.name), value) for field in fields(rows)})
    real = isinstance(rows, np.ndarray) and np.issubdtype(rows.dtype, np.floating)
    return np.full_like(rows, value) if real else rows
