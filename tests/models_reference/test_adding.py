"""Models of every family through the job that adds them: converted in a child, published, and giving rows like the original's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="runs the originals; install the extra `export`")
pytest.importorskip("sentence_transformers", reason="runs the originals; install the extra `export`")

from sentence_transformers import CrossEncoder  # noqa: E402

from engine.encoders.opening import load_encoder, load_scorer  # noqa: E402
from engine.serving.engine import Engine  # noqa: E402
from engine.workspace.jobs import JobRecords  # noqa: E402
from engine.workspace.workspace import Workspace  # noqa: E402
from tests.models_reference import originals  # noqa: E402
from tests.models_reference.originals import TEXTS  # noqa: E402

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "dense": lambda folder: originals.write_dense(folder, "Bert"),
    "sparse": lambda folder: originals.write_sparse(folder, "DistilBert", inference_free=True),
    "late": lambda folder: originals.write_late(folder, "ModernBert", {}),
    "cross": lambda folder: originals.write_cross(folder, "XLMRoberta"),
}


@pytest.fixture
def workspace(engine: Engine) -> Workspace:
    return engine.workspace


def test_every_family_is_converted_by_the_job(
    tmp_path: Path, engine: Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases: list[str] = []
    store = JobRecords.store_progress
    monkeypatch.setattr(
        JobRecords,
        "store_progress",
        lambda self, job_id, progress: (phases.append(progress.phase), store(self, job_id, progress)),
    )
    sources = {family: write(tmp_path / family) for family, write in FAMILIES.items()}
    params = {"local": True, "quantise": "none"}
    jobs = [
        engine.jobs.submit("model-add", "", {"source": str(source), "name": f"my-{family}", **params})
        for family, source in sources.items()
    ]
    for job_id in jobs:
        job = engine.jobs.wait(job_id, 300)
        assert (job.status, job.error) == ("done", "")
    assert {"read", "trace", "compare", "try out", "publish"} <= set(phases)
    cards = workspace.models.cards()
    assert {name: card.family for name, card in cards.items()} == {f"my-{family}": family for family in FAMILIES}
    assert cards["my-sparse"].queries == "inference-free"
    own = workspace.models.folder
    for family in ("dense", "sparse", "late"):
        assert len(load_encoder(f"my-{family}", "cpu", own=own).encode_documents(TEXTS)) == len(TEXTS)
    scores = load_scorer("my-cross", "cpu", own=own).score(TEXTS[0], TEXTS[8:12])
    original = CrossEncoder(str(sources["cross"]), device="cpu")
    wanted = original.predict([(TEXTS[0], text) for text in TEXTS[8:12]], activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_rounding_tells_matrix_by_matrix_and_what_is_too_far_off_says_what_to_do(
    tmp_path: Path, engine: Engine, workspace: Workspace
) -> None:
    source = originals.write_cross(tmp_path / "cross", "XLMRoberta")
    params = {"source": str(source), "local": True, "name": "rounded", "quantise": "int4"}
    job = engine.jobs.wait(engine.jobs.submit("model-add", "", params), 300)
    assert job.status == "failed"
    assert "not faithful" in job.error
    assert "force it" in job.error
    assert workspace.models.cards() == {}
    assert not (workspace.models.folder / ".work" / job.job_id).exists()
    job = engine.jobs.wait(engine.jobs.submit("model-add", "", params | {"force": True}), 300)
    assert job.status == "done"
    assert workspace.models.cards()["rounded"].quantisation == "int4"
