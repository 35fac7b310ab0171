"""An index that is damaged and behind, of a missing or damaged model, or of which nobody knows what it is: it blocks nothing but itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.verbs.services import Services
from engine.errors import BadInput, IndexNotReady, TriptychError, WorkspaceDamaged
from engine.jobs.model_delete import uses
from engine.types import Record
from engine.workspace.generations import MANIFEST
from tests.encoders.tiny import write_model

MEANING = "name: Meaning\npipeline:\n- dense: {model: tiny, structure: exact}\n"
WORDS = "name: Words\npipeline:\n- bm25: {}\n"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Two collections of two documents, each with an index of words and one of meaning; then a document more in the first."""
    folder = tmp_path / "workspace"
    Services(folder).close()  # a folder that holds something else does not become a workspace
    write_model(folder / "models" / "tiny", name="tiny", similarity="cosine")
    with Services(folder) as opened:
        opened.save_pipeline("Words", WORDS)
        opened.save_pipeline("Meaning", MEANING)
        for name in ("hurt", "whole"):
            opened.create_collection(name)
            put(opened, name, Record("r", text="red red"), Record("g", text="green"))
            opened.wait(opened.index(name, opened.needed_indexes(["Words", "Meaning"])), 60)
        put(opened, "hurt", Record("b", text="blue red"))
    with Services(folder) as opened:  # nothing is open any more
        yield opened


def put(services: Services, name: str, *records: Record) -> None:
    workspace = services.engine.workspace
    workspace.documents.upsert(workspace.collection(name).collection_id, list(records), "f")


def meaning(services: Services, name: str = "hurt") -> Any:
    workspace = services.engine.workspace
    (found,) = workspace.generations.live(workspace.collection(name).collection_id, "dense")
    return found


def flip(services: Services) -> None:
    file = services.engine.workspace.generations.folder(meaning(services).generation_id) / "vectors.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 255
    file.write_bytes(data)


def cut(services: Services) -> None:
    file = services.engine.workspace.generations.folder(meaning(services).generation_id) / "numbers.npy"
    file.write_bytes(file.read_bytes()[:40])


def no_manifest(services: Services) -> None:
    (services.engine.workspace.generations.folder(meaning(services).generation_id) / MANIFEST).unlink()


def no_folder(services: Services) -> None:
    shutil.rmtree(services.engine.workspace.generations.folder(meaning(services).generation_id))


def no_model(services: Services) -> None:
    shutil.rmtree(services.engine.workspace.models.folder / "tiny")


def broken_model(services: Services) -> None:
    file = services.engine.workspace.models.folder / "tiny" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-9])


def broken_card(services: Services) -> None:
    (services.engine.workspace.models.folder / "tiny" / "card.json").write_text("{")


def unknown_params(services: Services) -> None:
    rewrite(services, {"model": "tiny", "structure": "fractal"})


def no_params(services: Services) -> None:
    rewrite(services, ["?"])


def unknown_kind(services: Services) -> None:
    key = meaning(services).generation_id
    services.engine.workspace.database.execute(
        "test", "UPDATE generations SET kind = 'hologram' WHERE generation_id = ?", [key]
    )
    services.engine.workspace.generations.epoch += 1


def rewrite(services: Services, params: Any) -> None:
    key = meaning(services).generation_id
    services.engine.workspace.database.execute(
        "test", "UPDATE generations SET params = ?::JSON WHERE generation_id = ?", [json.dumps(params), key]
    )
    services.engine.workspace.generations.epoch += 1


HARM = [flip, cut, no_manifest, no_folder, no_model, broken_model, broken_card, unknown_params, no_params, unknown_kind]
OF_MODELS = (no_model, broken_model, broken_card)


@pytest.mark.parametrize("harm", HARM)
def test_everything_else_goes_on(services: Services, harm: Callable[[Services], None]) -> None:
    harm(services)
    jobs = len(services.jobs())
    views = {view.name: view for view in services.collections()}
    states = {index.kind: index.state for index in views["hurt"].indexes if index.generation_id}
    assert states.pop("bm25") == "behind"
    assert list(states.values()) == ["damaged"], views["hurt"].indexes
    (told,) = [index.note for index in views["hurt"].indexes if index.state == "damaged"]
    assert len(told) > 20
    assert views["whole"].documents == 2
    assert {index.state for index in views["whole"].indexes if index.kind == "bm25" and index.generation_id} == {
        "ready"
    }
    services.workspace()
    assert len(services.jobs()) == jobs, "looking starts nothing"
    assert [card.doc_id for card in services.search("hurt", "green", "Words").cards] == ["g"]
    assert [card.doc_id for card in services.search("whole", "green", "Words").cards] == ["g"]
    if harm not in OF_MODELS:
        assert services.search("whole", "green", "Meaning").cards[0].doc_id == "g"
    assert "whole" in {use.collection for use in uses(services.engine.workspace, "tiny")}
    services.models()
    found = services.doctor()
    assert any(finding.level in ("error", "warning", "note") for finding in found)
    services.create_collection("new")
    put(services, "new", Record("n", text="green"))
    assert services.wait(services.index("new", ["bm25"]), 60).status == "done"
    assert [card.doc_id for card in services.search("new", "green", "Words").cards] == ["n"]
    services.delete_collection("hurt")
    assert {view.name for view in services.collections()} == {"whole", "new"}


@pytest.mark.parametrize("harm", HARM)
def test_the_remedy_works(services: Services, harm: Callable[[Services], None]) -> None:
    harm(services)
    services.collections()
    job = services.wait(services.index("hurt", services.needed_indexes(["Words", "Meaning"])), 60)
    assert [card.doc_id for card in services.search("hurt", "blue", "Words").cards] == ["b"], (
        "the other index was updated"
    )
    if harm in OF_MODELS:
        assert job.status == "failed"
        assert "1 of 2 indexes could not be built. Dense · tiny · exact: " in job.error
        with pytest.raises((BadInput, WorkspaceDamaged, IndexNotReady)):
            services.search("hurt", "blue", "Meaning")
        return
    assert (job.status, job.error) == ("done", "")
    assert services.search("hurt", "blue", "Meaning").cards[0].doc_id == "b"
    for view in services.collection("hurt").indexes:
        if view.state == "damaged":
            services.drop_index("hurt", view.generation_id)
    assert {view.state for view in services.collection("hurt").indexes if view.generation_id} == {"ready"}


def test_searching_a_damaged_index_rebuilds_it(services: Services) -> None:
    flip(services)
    assert "damaged" in {view.state for view in services.collection("hurt").indexes}
    with pytest.raises(TriptychError, match="being rebuilt"):
        services.search("hurt", "green", "Meaning")
    services.wait(services.jobs()[0].job_id, 60)
    assert {view.state for view in services.collection("hurt").indexes if view.label == "Dense · tiny · exact"} == {
        "ready"
    }


def test_the_vectors_of_another_model_of_the_same_width_are_not_searched(services: Services) -> None:
    """Same name, same dimensions, other vectors: refused, and rebuilt when the indexes are updated."""
    import numpy as np

    from tests.encoders.tiny import TABLE

    old = meaning(services, "whole")
    folder = services.engine.workspace.models.folder / "tiny"
    shutil.rmtree(folder)
    write_model(folder, name="tiny", similarity="cosine", table=np.ascontiguousarray(TABLE[:, ::-1]))
    services.engine.workspace.models.epoch += 1
    with pytest.raises(IndexNotReady, match="built with another version of its encoder"):
        services.search("whole", "green", "Meaning")
    assert services.wait(services.index("whole", services.needed_indexes(["Meaning"])), 60).status == "done"
    new = meaning(services, "whole")
    assert (new.dim, old.dim) == (2, 2)
    assert new.fingerprint != old.fingerprint
    assert new.details["reused"] == 0, "no vector of the former model is kept"
    assert services.search("whole", "green", "Meaning").cards[0].doc_id == "g"
