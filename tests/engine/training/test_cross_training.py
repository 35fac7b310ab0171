"""The cross-encoder's model and its training, on a small random encoder: what stays apart, what is learned, and that the graph says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("sentence_transformers", reason="training needs the extra `train`")
pytest.importorskip("onnx", reason="training needs the extra `train`")

from engine.encoders.cross import PairScorer  # noqa: E402
from engine.errors import BadInput, Cancelled  # noqa: E402
from engine.export.export import export_model  # noqa: E402
from engine.export.pair.model import new_pair_model, open_pair_model  # noqa: E402
from engine.testing.contracts import HashEncoder  # noqa: E402
from engine.training.corpus import TrainingTexts  # noqa: E402
from engine.training.cross import CrossOptions, balance, spearman, train_cross  # noqa: E402
from engine.training.pairs import PairList  # noqa: E402
from tests.models_reference.originals import write_backbone  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

WORDS = [f"word{i}" for i in range(60)]
PAIRS = [("word1 word2", "word2 word3 word4"), ("word1", "word5 word1 word1 word6 word7"), ("word9 word8", "word3")]
RNG = np.random.default_rng(2)
ABSTRACTS = [". ".join(" ".join(RNG.choice(WORDS, 5)).capitalize() for _ in range(5)) + "." for _ in range(60)]
TEXTS = TrainingTexts([f"d{i}" for i in range(60)], [f"word{i} title" for i in range(60)], ABSTRACTS, 0, 0, frozenset())


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_backbone(tmp_path_factory.mktemp("body") / "b", "Bert", words=WORDS, num_hidden_layers=3)


@pytest.fixture
def model(backbone: Path) -> Any:
    torch.manual_seed(1)
    made = new_pair_model(backbone, 1, 40)
    interaction = made[0].interaction
    for parameter in (interaction.segment, interaction.match, interaction.evidence.weight, interaction.gate[2].weight):
        parameter.data += 0.3 * torch.randn_like(parameter)
    made[0].learn_rarity(ABSTRACTS)
    return made


def test_without_common_layers_the_texts_do_not_see_each_other(backbone: Path) -> None:
    model = new_pair_model(backbone, 0, 40)
    body = model[0].auto_model.eval()
    ids = model.tokenizer(*PAIRS[0], return_tensors="pt")
    assert model.tokenizer.convert_ids_to_tokens(ids["input_ids"][0]) == (
        ["[CLS]", "word1", "word2", "[SEP]", "[CLS]", "word2", "word3", "word4", "[SEP]"]
    )
    with torch.no_grad():
        parts, evidence = model[0].parts(ids["input_ids"], ids["token_type_ids"])
        one, other = (body(**model.tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in PAIRS[0])
    expected = torch.cosine_similarity(one[1:-1].mean(0), other[1:-1].mean(0), dim=0)
    assert parts[0, 0] == pytest.approx(float(expected), abs=1e-5)
    unit = [torch.nn.functional.normalize(states[1:-1], dim=1) for states in (one, other)]
    assert parts[0, 1] == pytest.approx(float((unit[0] @ unit[1].T).max(dim=1).values.mean()), abs=1e-5)
    # one of two query tokens is in the document, once: exact 1/2, repeated 1/2 of that
    assert parts[0, 2:].tolist() == pytest.approx([0.5, 0.25])
    assert float(evidence) == 0


def test_rare_words_weigh_more(model: Any) -> None:
    rarity = model[0].interaction.rarity
    ids = model.tokenizer.convert_tokens_to_ids(["word1", ".", "[UNK]"])
    held = sum("word1" in text.lower().replace(".", " ").split() for text in ABSTRACTS)
    assert rarity[ids[0]] == pytest.approx(np.log(np.log1p((60 - held + 0.5) / (held + 0.5))), abs=1e-4)
    assert rarity[ids[0]] > rarity[ids[1]] == pytest.approx(np.log(0.05))


def test_a_pair_scores_the_same_alone_and_in_company(model: Any) -> None:
    together = model.predict(PAIRS, batch_size=3)
    alone = [model.predict([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert len(set(np.round(together, 3))) == 3


@pytest.mark.parametrize(("precision", "tolerance"), [("none", 1e-3), ("int8", None)])
def test_the_exported_graph_scores_as_the_model_does(
    model: Any, tmp_path: Path, precision: Any, tolerance: Any
) -> None:
    model.save(str(tmp_path / "saved"))
    opened = open_pair_model(tmp_path / "saved")
    expected = opened.predict(PAIRS)
    np.testing.assert_allclose(expected, model.predict(PAIRS), rtol=1e-4, atol=1e-5)
    card = export_model(
        tmp_path / "saved", tmp_path / "out", quantise=precision, force=True, checks=ABSTRACTS[:8], say=lambda _: None
    )
    assert (card.family, card.dimensions, card.max_tokens) == ("cross", 1, 40)
    scorer = PairScorer.load(tmp_path / "out", "cpu", 1)
    found = [float(scorer.score(query, [text])[0]) for query, text in PAIRS]
    np.testing.assert_allclose(found, expected, atol=tolerance or 0.15 * np.ptp(expected))


def test_balancing_finds_the_weights_that_made_the_order(model: Any) -> None:
    lists = [
        PairList(" ".join(RNG.choice(WORDS, 4)), [" ".join(RNG.choice(WORDS, 9)) for _ in range(8)], [0.0])
        for _ in range(30)
    ]
    wanted = [3.0, 7.0, -2.0, 5.0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for place, one in enumerate(lists):
            read = model(model.preprocess([(one.query, text) for text in one.documents]))
            logits = (read["parts"].float() * torch.tensor(wanted)).sum(dim=1) + read["evidence"].float().squeeze(1)
            lists[place] = replace(one, logits=logits.tolist())
    model[0].interaction.weights.data = torch.zeros(4)
    assert balance(model, lists) == pytest.approx(wanted, abs=0.1)


def test_training_teaches_the_upper_layers_only(backbone: Path, tmp_path: Path) -> None:
    options = CrossOptions(
        seed=3, lists=24, length=4, batch=4, together=1, tokens=40, max_tokens=48, develop=10, develop_lists=4,
        balance_lists=4, balance_length=4, balance_tokens=40,
    )  # fmt: skip
    heard: list[str] = []
    encode = HashEncoder(48).encode_queries
    measured = train_cross(TEXTS, backbone, tmp_path / "out", options, encode=encode, say=heard.append)
    assert set(measured) == {f"{name}{when}" for name in ("reciprocal rank", "agreement") for when in ("", " before")}
    assert any("6 of 6 steps" in line for line in heard)
    before, after = new_pair_model(backbone, 1, 40)[0], open_pair_model(tmp_path / "out")[0]
    changed = {
        name
        for name, values in after.auto_model.named_parameters()
        if not torch.equal(values, dict(before.auto_model.named_parameters())[name])
    }
    assert {name.split(".")[2] for name in changed} == {"2"}, "the last of three layers"
    assert after.max_seq_length == 48
    again = train_cross(TEXTS, backbone, tmp_path / "again", options, encode=encode, say=heard.append)
    assert again == measured
    with pytest.raises(BadInput, match="is not empty"):
        train_cross(TEXTS, backbone, tmp_path / "out", options, encode=encode)

    def stop(told: str) -> None:
        if "2 of 6 steps" in told:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train_cross(TEXTS, backbone, tmp_path / "stopped", options, encode=encode, say=stop)
    assert not (tmp_path / "stopped").exists()


def test_what_does_not_learn_reads_without_dropout(model: Any) -> None:
    body = model[0].auto_model
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    for parameter in body.encoder.layer[-1].parameters():
        parameter.requires_grad_(True)
    model.train()
    assert [layer.training for layer in body.encoder.layer] == [False, False, True]
    assert not body.embeddings.training
    assert not any(layer.training for layer in model.eval()[0].auto_model.encoder.layer)


def test_rank_correlation_by_hand() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])) == pytest.approx(-0.5)
