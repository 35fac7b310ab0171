"""The heads' formulas against plain ones, and whole small trainings: the loss falls, and the graph does what the module does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
for needed in ("onnx", "sentence_transformers", "accelerate", "datasets"):
    pytest.importorskip(needed, reason="training needs the extra `train`")

import onnxruntime  # noqa: E402

from engine.errors import Cancelled  # noqa: E402
from engine.training.batches import batches, learning_rate, of_owner  # noqa: E402
from engine.training.graphs import late_graph, sparse_graph  # noqa: E402
from engine.training.late import LateSettings, every_maxsim, late_head, principal_components, train_late  # noqa: E402
from engine.training.sparse import HIDDEN, LOGIT, SparseSettings, sparse_loss, train_sparse  # noqa: E402
from engine.training.sparse_head import BOOST, sparse_head, start  # noqa: E402
from engine.training.states import TokenStates  # noqa: E402
from engine.training.teacher import Queries, bm25_weights, counted  # noqa: E402
from engine.training.trainer import as_model, divergence_of_scores, training_device  # noqa: E402
from engine.training.vocabulary import Vocabulary, build_vocabulary  # noqa: E402
from engine.types import Progress  # noqa: E402

DIM, WORDS, DOCUMENTS = 16, 40, 30
PIECES = [f"word{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(WORDS)]
RNG = np.random.default_rng(5)
MEANING = RNG.normal(size=(WORDS, DIM)).astype(np.float32)


def told(lengths: list[int]) -> TokenStates:
    """Texts of random words; a state is its word's meaning and a little of its neighbors'."""
    ids = RNG.integers(WORDS, size=sum(lengths)).astype(np.int32)
    states = MEANING[ids] + 0.3 * np.roll(MEANING[ids], 1, axis=0)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    dense = np.stack([states[a:b].mean(0) for a, b in pairwise(indptr)])
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    return TokenStates(states.astype(np.float16), ids, indptr, dense.astype(np.float32))


@pytest.fixture(scope="module")
def documents() -> TokenStates:
    return told(RNG.integers(8, 20, size=DOCUMENTS).tolist())


@pytest.fixture(scope="module")
def asked() -> TokenStates:
    return told(RNG.integers(3, 6, size=2 * DOCUMENTS).tolist())


@pytest.fixture(scope="module")
def vocabulary(documents: TokenStates) -> Vocabulary:
    return build_vocabulary(PIECES, documents.ids, documents.indptr, 1)


QUERIES = Queries([""] * (2 * DOCUMENTS), np.repeat(np.arange(DOCUMENTS), 2))
POSITIONS = np.arange(DOCUMENTS)


def run_graph(path: Path, states: TokenStates, position: int, with_ids: bool) -> np.ndarray:
    a, b = states.indptr[position : position + 2]
    feed = {"token_embeddings": states.states[a:b][None].astype(np.float32)}
    if with_ids:
        feed["input_ids"] = states.ids[a:b][None].astype(np.int64)
    return np.asarray(onnxruntime.InferenceSession(str(path)).run(None, feed)[0])


def test_literal_weights_are_bm25_s(documents: TokenStates, vocabulary: Vocabulary) -> None:
    counts = counted(vocabulary, documents.ids, documents.indptr)
    head = sparse_head(vocabulary, DIM, float(counts.sum()) / DOCUMENTS)
    expected = bm25_weights(counts, vocabulary.scale).toarray()
    for position in (0, 7):
        a, b = documents.indptr[position : position + 2]
        found = head.literal(torch.as_tensor(documents.ids[a:b]).long()).numpy()
        np.testing.assert_allclose(found, expected[position], rtol=1e-5)


def test_a_head_starts_with_the_wanted_number_of_terms(vocabulary: Vocabulary) -> None:
    head = sparse_head(vocabulary, DIM, 10.0)
    size = len(vocabulary.expandable)
    vectors, dense = torch.randn(size, DIM), torch.randn(200, DIM)
    start(head, vectors, dense, 5.0)
    sums = head.sums(dense).detach()
    assert float((sums > 0).float().sum(1).mean()) == pytest.approx(5, abs=0.01)
    assert float(torch.relu(sums).amax(1).mean()) == pytest.approx(BOOST, rel=1e-3)


def test_a_sparse_training_lowers_the_loss_and_its_graph_is_the_head(
    documents: TokenStates, asked: TokenStates, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    settings = SparseSettings(seed=1, words=20, epochs=60, batch=24, terms=8, rate=5e-3)
    trained = train_sparse(vocabulary, documents, QUERIES, asked, POSITIONS, settings)
    losses = [line["loss"] for line in trained.log]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])
    assert 2 < np.mean([line["expansions"] for line in trained.log[-10:]]) < 20
    again = train_sparse(vocabulary, documents, QUERIES, asked, POSITIONS, settings)
    assert torch.equal(trained.head.decoder, again.head.decoder), "the seed decides"
    sparse_graph(trained.head, tmp_path / "model.onnx")
    for position in (0, 3):
        a, b = documents.indptr[position : position + 2]
        states = torch.as_tensor(documents.states[a:b]).float()[None]
        expected = trained.head(states, torch.as_tensor(documents.ids[a:b]).long()[None])
        found = run_graph(tmp_path / "model.onnx", documents, position, with_ids=True)
        assert found.shape == (1, WORDS)
        assert (found >= 0).all()
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=0.1)  # the products are int8


def test_maxsim_is_the_mean_of_the_best_products() -> None:
    queries, documents = torch.randn(5, 4), torch.randn(9, 4)
    found = every_maxsim(queries, documents, [0, 2, 5], [0, 2, 9])
    products = (queries @ documents.T).numpy()
    best = np.stack([products[:, :2].max(1), products[:, 2:].max(1)], axis=1)
    expected = np.stack([best[:2].mean(0), best[2:].mean(0)])
    np.testing.assert_allclose(found.numpy(), expected, atol=0.02)  # which token is best is found in bfloat16


def test_maxsim_is_what_the_library_scores() -> None:
    from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

    queries, documents = (torch.nn.functional.normalize(torch.randn(n, 8), dim=1) for n in (5, 9))
    found = every_maxsim(queries, documents, [0, 2, 5], [0, 4, 9])
    padded = [torch.zeros(2, 5, 8) for _ in range(2)]
    for place, rows in enumerate((queries[:2], queries[2:])):
        padded[0][place, : len(rows)] = rows
    for place, rows in enumerate((documents[:4], documents[4:])):
        padded[1][place, : len(rows)] = rows
    expected = mean_colbert_scores(padded[0], padded[1][:, None])  # rows of zeros count as padding
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=0.02)


def test_the_divergence_of_scores_is_kl_over_the_documents_that_count() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    teacher = torch.tensor([[2.0, -torch.inf, 1.0], [0.5, 0.25, 1.0]])
    scores[0, 1] = HIDDEN
    found = divergence_of_scores(as_model("dense", torch.nn.Linear(1, 1)))(scores, teacher)

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.exp(values) / np.exp(values).sum()

    kl = 0.0
    for row, columns in ((0, [0, 2]), (1, [0, 1, 2])):
        p, q = softmax(teacher[row, columns].numpy()), softmax(scores[row, columns].numpy())
        kl += float((p * np.log(p / q)).sum())
    assert float(found) == pytest.approx(kl / 2, abs=1e-5)


def test_the_sparse_loss_is_divergence_and_weighed_flops() -> None:
    cost = torch.tensor([1.0, 4.0, 9.0])
    expanded = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    asking = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    known, teacher = torch.rand(2, 2), torch.rand(2, 2)
    loss = sparse_loss(as_model("sparse", torch.nn.Identity()), cost)
    features = [{"sentence_embedding": asking.to_sparse_csr()}, {"sentence_embedding": expanded}]
    found = loss(features, torch.stack([known, teacher]))
    logits = LOGIT * (known + asking @ expanded.T)
    kl = (teacher.softmax(1) * (teacher.log_softmax(1) - logits.log_softmax(1))).sum(1).mean()
    assert float(found["base_loss"].detach()) == pytest.approx(float(kl), abs=1e-5)
    flops = 1 * 0.5**2 + 4 * 1.5**2 + 9 * 1.0**2
    assert float(found["document_regularizer_loss"]) == pytest.approx(1e-4 * flops, rel=1e-5)
    assert loss.document_regularizer.active == 1.5
    assert float(found["query_regularizer_loss"]) == 0


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "chosen"), [(True, True, "cuda"), (True, False, "cpu"), (False, True, "cpu")]
)
def test_heads_train_on_a_gpu_that_knows_bfloat16(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, bfloat16: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)
    assert training_device() == chosen


def test_models_are_put_where_training_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.trainer.training_device", lambda: "meta")  # a device that every machine has
    assert as_model("late", late_head(8, 4)).device.type == "meta"


def test_what_progress_raises_stops_a_training(
    documents: TokenStates, asked: TokenStates, vocabulary: Vocabulary
) -> None:
    heard: list[int] = []

    def progress(step: Progress) -> None:
        heard.append(step.done)
        if step.done == 3:
            raise Cancelled

    settings = LateSettings(epochs=40, batch=24, dimensions=6)
    with pytest.raises(Cancelled):
        train_late(vocabulary, documents, QUERIES, asked, POSITIONS, settings, progress)
    assert heard == [1, 2, 3]


def test_a_document_keeps_between_the_fewest_and_the_most_terms(
    monkeypatch: pytest.MonkeyPatch, vocabulary: Vocabulary
) -> None:
    torch.manual_seed(3)
    head = sparse_head(vocabulary, DIM, 10.0)
    directions = torch.nn.functional.normalize(torch.randn(200, DIM), dim=1)
    start(head, torch.randn(len(vocabulary.expandable), DIM), directions, 9.0)
    states = [torch.randn(1, length, DIM) for length in range(3, 15)]
    ids = [torch.arange(one.shape[1])[None] for one in states]

    def weights() -> np.ndarray:
        return torch.cat([head(*one) for one in zip(states, ids, strict=True)]).detach().numpy()

    monkeypatch.setattr("engine.training.sparse_head.FEWEST", 0)
    monkeypatch.setattr("engine.training.sparse_head.MOST", WORDS)
    free = weights()
    monkeypatch.setattr("engine.training.sparse_head.FEWEST", 14)
    monkeypatch.setattr("engine.training.sparse_head.MOST", 17)
    bounded = weights()
    counts, before = (bounded > 0).sum(1), (free > 0).sum(1)
    assert (before < 14).any()
    assert (before > 17).any()
    np.testing.assert_array_equal(counts, before.clip(14, 17))
    for row, plain, count in zip(bounded, free, before, strict=True):
        if count <= 14:  # what was there weighs more
            assert (row >= plain).all()
        elif count > 17:  # the heaviest stay as they are
            np.testing.assert_array_equal(row[row > 0], plain[row > 0])
            assert row[row > 0].min() >= plain[row == 0].max()
        else:
            np.testing.assert_array_equal(row, plain)


def test_principal_components_are_orthonormal_and_keep_most(documents: TokenStates) -> None:
    found = principal_components(documents, 6, seed=0).numpy()
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-4)
    rows = documents.states.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kept = np.square(rows @ found.T).sum()
    assert kept == pytest.approx(np.square(np.linalg.svd(rows, compute_uv=False)[:6]).sum(), rel=1e-3)


def test_a_late_training_lowers_the_loss_and_its_graph_is_the_head(
    documents: TokenStates, asked: TokenStates, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    settings = LateSettings(seed=1, epochs=40, batch=24, dimensions=6, rate=5e-3)
    trained = train_late(vocabulary, documents, QUERIES, asked, POSITIONS, settings)
    losses = [line["loss"] for line in trained.log]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])
    late_graph(trained.head, tmp_path / "model.onnx")
    found = run_graph(tmp_path / "model.onnx", documents, 2, with_ids=False)
    a, b = documents.indptr[2:4]
    expected = trained.head(torch.as_tensor(documents.states[a:b]).float()).detach().numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=1), 1, atol=1e-5)


def test_batches_hold_neighbors_and_reach_every_document() -> None:
    near = (np.arange(20)[:, None] + [1, 2]) % 20
    positions = np.arange(20) * 10
    drawn = list(batches(near, positions, size=6, extra=1, steps=40, seed=0))
    assert all(len(set(batch.tolist())) == 6 for batch in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(positions.tolist())
    owners = of_owner(np.array([2, 0, 2]), 3)
    assert [owners(i).tolist() for i in range(3)] == [[1], [], [0, 2]]


def test_the_rate_rises_then_falls() -> None:
    rates = [learning_rate(step, 100) for step in range(100)]
    assert rates[4] == 1 == max(rates)
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.01
