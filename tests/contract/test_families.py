"""Every fuser, retriever, stage, metric, chunker and encoder keeps the contract of its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.chunkers.base import Chunker
from engine.component import discover
from engine.encoders.opening import load_encoder
from engine.errors import BadInput
from engine.fusers.base import Fuser
from engine.fusers.lambdamart import LambdaMart
from engine.metrics.base import parse_metric
from engine.pipeline.stages import Cutoff, Fuse, parse
from engine.retrievers.base import Retriever
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.testing.contracts import (
    HashEncoder,
    check_chunker,
    check_encoder,
    check_fuser,
    check_metric,
    check_retriever,
    check_stage,
)
from tests.fusers.test_lambdamart import BY_HAND

FITTED = {"lambdamart": LambdaMart(inputs=2, trees=BY_HAND.encode())}
"""What stands in for fusers that do nothing before they are fitted."""


@pytest.mark.parametrize("name", sorted(discover("fusers")))
def test_fusers(name: str) -> None:
    method = FITTED.get(name) or parse(("fusers",), name)
    assert isinstance(method, Fuser)
    check_fuser(method)


@pytest.mark.parametrize("norm", ["min-max", "z-score", "none"])
@pytest.mark.parametrize("name", ["wsum", "comb_sum", "comb_anz", "comb_max", "comb_mnz"])
def test_normalisations(name: str, norm: str) -> None:
    method = parse(("fusers",), {name: {"norm": norm}})
    assert isinstance(method, Fuser)
    check_fuser(method)


@pytest.mark.parametrize("name", sorted(discover("retrievers")))
def test_retrievers(name: str, tmp_path: Path) -> None:
    retriever = parse(("retrievers",), name)
    assert isinstance(retriever, Retriever)
    check_retriever(retriever, tmp_path)


def test_an_approximate_retriever_keeps_the_contract_too(tmp_path: Path) -> None:
    check_retriever(Dense(structure="hnsw"), tmp_path)


def test_the_real_encoder_explains_its_scores(tmp_path: Path) -> None:
    check_retriever(Dense(), tmp_path, load_encoder("all-MiniLM-L6-v2"))


@pytest.mark.parametrize(
    "stage", [Cutoff(k=3), Fuse(inputs=(Bm25(), Dense())), Bm25() % 5], ids=lambda stage: stage.name
)
def test_stages(stage) -> None:  # type: ignore[no-untyped-def]
    check_stage(stage)


@pytest.mark.parametrize("name", sorted(discover("metrics")))
@pytest.mark.parametrize("cutoff", ["", "@1", "@10"])
def test_metrics(name: str, cutoff: str) -> None:
    cut = discover("metrics")[name].cut  # type: ignore[attr-defined]
    if (cut == "must" and not cutoff) or (cut == "never" and cutoff):
        with pytest.raises(BadInput):
            parse_metric(name + cutoff)
    else:
        check_metric(parse_metric(name + cutoff))


@pytest.mark.parametrize("name", sorted(discover("chunkers")))
def test_chunkers(name: str) -> None:
    chunker = parse(("chunkers",), name)
    assert isinstance(chunker, Chunker)
    check_chunker(chunker)


def test_encoders() -> None:
    check_encoder(HashEncoder())
    check_encoder(load_encoder("all-MiniLM-L6-v2"))
