"""Downloads from a hub that fails in every way: nothing wrong is ever kept, and what arrived is not fetched twice."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

import pytest

from engine.errors import BadInput, NotFound, StorageFull, Unreachable
from engine.models.hub.hub import Hub, HubFile, Repository, content_digest, safe_path
from tests.models.hub_server import COMMIT, HubServer, git_sha

NAME = "someone/model"
WEIGHTS = random.Random(7).randbytes(300_000)
CONFIG = b'{"hidden_size": 2}'


@pytest.fixture
def server(hub_server: HubServer) -> HubServer:
    hub_server.repositories[NAME] = {"config.json": CONFIG, "onnx/model.onnx": WEIGHTS}
    hub_server.lfs.add("onnx/model.onnx")
    return hub_server


def fetched(folder: Path, path: str = "onnx/model.onnx") -> tuple[Path, list[int]]:
    """Describe, then download one file; the file and what was told on the way."""
    told: list[int] = []
    target = folder / path
    with Hub() as hub:
        repository = hub.describe(NAME)
        file = next(file for file in repository.files if file.path == path)
        hub.fetch(repository, file, target, told.append)
    return target, told


def asked(server: HubServer, part: str) -> list[dict[str, str]]:
    return [headers for method, path, headers in server.requests if part in path and method == "GET"]


def test_the_listing_names_sizes_hashes_and_the_commit(server: HubServer) -> None:
    with Hub() as hub:
        found = hub.describe(NAME)
    assert (found.commit, found.licence, found.gated) == (COMMIT, "apache-2.0", False)
    assert [(file.path, file.bytes, len(file.digest)) for file in found.files] == [
        ("config.json", len(CONFIG), 40),
        ("onnx/model.onnx", len(WEIGHTS), 64),
    ]


def test_whole_files_arrive_unchanged_and_are_not_fetched_again(server: HubServer, tmp_path: Path) -> None:
    for path, content in server.repositories[NAME].items():
        target, told = fetched(tmp_path, path)
        assert target.read_bytes() == content
        assert told[-1] == len(content)
        before = len(server.requests)
        fetched(tmp_path, path)
        assert len(server.requests) == before + 1  # the listing
    assert not list(tmp_path.rglob("*.part"))


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(server: HubServer, tmp_path: Path) -> None:
    fetched(tmp_path)
    assert [headers.get("authorization") for headers in asked(server, "/resolve/")] == ["Bearer hf_secret"]
    assert [headers.get("authorization") for headers in asked(server, "/cdn/")] == [None]


def test_a_cut_connection_is_continued_where_it_broke(server: HubServer, tmp_path: Path) -> None:
    server.faults["onnx/model.onnx"] = ["cut", "cut"]
    target, _ = fetched(tmp_path)
    assert target.read_bytes() == WEIGHTS
    ranges = [headers.get("range") for headers in asked(server, "/cdn/")]
    assert ranges == [None, "bytes=150000-", "bytes=225000-"]


def test_a_server_that_ignores_the_range_is_heard_from_the_start(server: HubServer, tmp_path: Path) -> None:
    server.faults["onnx/model.onnx"] = ["cut", "whole"]
    assert fetched(tmp_path)[0].read_bytes() == WEIGHTS


def test_an_interrupted_download_goes_on_in_another_process(server: HubServer, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(_: int) -> None:
        raise Stop

    target = tmp_path / "model.onnx"
    with Hub() as hub:
        repository = hub.describe(NAME)
        with pytest.raises(Stop):
            hub.fetch(repository, repository.files[1], target, stop)
    kept = (tmp_path / "model.onnx.part").stat().st_size
    assert 0 < kept < len(WEIGHTS)
    assert not target.exists()
    server.requests.clear()
    with Hub() as hub:
        hub.fetch(repository, repository.files[1], target, lambda _: None)
    assert target.read_bytes() == WEIGHTS
    assert asked(server, "/cdn/")[0]["range"] == f"bytes={kept}-"


@pytest.mark.parametrize("fault", ["wrong", "long", "html"])
def test_wrong_content_is_refused_and_removed(server: HubServer, tmp_path: Path, fault: str) -> None:
    server.faults["onnx/model.onnx"] = [fault]
    with pytest.raises(Unreachable, match=r"damaged|larger|something else"):
        fetched(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []
    assert fetched(tmp_path)[0].read_bytes() == WEIGHTS


def test_a_part_of_something_else_is_found_out(server: HubServer, tmp_path: Path) -> None:
    part = tmp_path / "onnx" / "model.onnx.part"
    part.parent.mkdir()
    part.write_bytes(b"\xff" * 1000)
    with pytest.raises(Unreachable, match="damaged"):
        fetched(tmp_path)
    assert not part.exists()


def test_a_file_that_was_altered_on_the_disk_is_fetched_again(server: HubServer, tmp_path: Path) -> None:
    target, _ = fetched(tmp_path)
    target.write_bytes(bytes(len(WEIGHTS)))
    assert fetched(tmp_path)[0].read_bytes() == WEIGHTS


@pytest.mark.parametrize("status", ["500", "503", "429"])
def test_an_overloaded_server_is_asked_again(server: HubServer, tmp_path: Path, status: str) -> None:
    server.faults = {"": [status], "onnx/model.onnx": [status, status]}
    assert fetched(tmp_path)[0].read_bytes() == WEIGHTS


def test_a_server_that_stays_down_is_given_up_with_what_arrived_kept(server: HubServer, tmp_path: Path) -> None:
    server.faults["onnx/model.onnx"] = ["cut"] + ["500"] * 20
    with pytest.raises(Unreachable, match=r"answered 500.*What arrived is kept"):
        fetched(tmp_path)
    assert (tmp_path / "onnx/model.onnx.part").stat().st_size == 150_000
    server.faults.clear()
    assert fetched(tmp_path)[0].read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("404", NotFound, "Check owner and name"),
        ("401", NotFound, "Check owner and name"),
        ("gated", BadInput, "accept its terms"),
        ("403", BadInput, "HF_TOKEN"),
        ("html", Unreachable, "proxy"),
    ],
)
def test_refusals_say_what_to_do(server: HubServer, fault: str, error: type[Exception], told: str) -> None:
    server.faults[""] = [fault]
    with Hub() as hub, pytest.raises(error, match=told):
        hub.describe(NAME)


def test_unknown_names_and_revisions(server: HubServer) -> None:
    with Hub() as hub:
        with pytest.raises(NotFound, match="'someone/else'"):
            hub.describe("someone/else")
        with pytest.raises(NotFound, match="no such revision"):
            hub.describe(NAME, "v9")
        for name in ("model", "a/b/c", "../x", "a/..", "a b/c", "", "https://host/a"):
            with pytest.raises(BadInput, match="OWNER/NAME"):
                hub.describe(name)
        for revision in ("..", "a/../b", "-x", "", "a b"):
            with pytest.raises(BadInput, match="revision"):
                hub.describe(NAME, revision)


def test_without_a_network_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, server: HubServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free}")
    with Hub() as hub, pytest.raises(Unreachable, match="Check the connection"):
        hub.describe(NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE"):
        Hub()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(BadInput, match="HF_ENDPOINT"):
        Hub()


def test_a_first_question_that_nobody_answers_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, server: HubServer
) -> None:
    asked: list[float] = []
    monkeypatch.setattr("engine.network.budget.Budget.sleep", lambda self, seconds: asked.append(seconds))
    with socket.socket() as silent:  # accepts connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("engine.models.hub.hub.TIMEOUT_SECONDS", 0.3)
        with Hub() as hub, pytest.raises(Unreachable, match="Check the connection"):
            hub.describe(NAME)
    assert asked == []
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.faults[""] = ["500", "503"]
    with Hub() as hub:
        assert hub.describe(NAME).commit == COMMIT
    assert len(asked) == 2


def test_who_waits_for_another_try_may_call_it_off(
    monkeypatch: pytest.MonkeyPatch, server: HubServer, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(_: int) -> None:
        raise Stop

    monkeypatch.setattr("engine.models.hub.hub.PAUSE_SECONDS", 60.0)
    with Hub() as hub:
        repository = hub.describe(NAME)
        server.faults["onnx/model.onnx"] = ["500"]
        wanted = next(file for file in repository.files if file.path == "onnx/model.onnx")
        with pytest.raises(Stop):
            hub.fetch(repository, wanted, tmp_path / "model.onnx", stop)


def test_names_in_a_listing_cannot_leave_the_folder(server: HubServer) -> None:
    bad = ["../evil", "/etc/passwd", "a/../../b", "a\\b", "a\x00b", "", "x" * 300, "a/./b"]
    assert not any(map(safe_path, bad))
    assert all(map(safe_path, ["config.json", "1_Pooling/config.json", "onnx/model.onnx_data"]))
    server.listing = {
        "siblings": [{"rfilename": path, "size": 1} for path in bad]
        + [{"rfilename": "a", "size": "1"}, {"rfilename": 3}, "x"]
    }
    with Hub() as hub:
        assert hub.describe(NAME).files == ()


@pytest.mark.parametrize("listing", [{"sha": "main"}, {"sha": None}, {"siblings": {}}])
def test_a_listing_of_another_form_is_refused(server: HubServer, listing: dict[str, object]) -> None:
    server.listing = listing
    with Hub() as hub, pytest.raises(Unreachable, match="something else"):
        hub.describe(NAME)


def test_where_the_listing_has_no_hash_the_headers_have(server: HubServer, tmp_path: Path) -> None:
    for path, content in (("config.json", CONFIG), ("onnx/model.onnx", WEIGHTS)):
        with Hub() as hub:
            hub.fetch(Repository(NAME, COMMIT, ()), HubFile(path, len(content), ""), tmp_path / path, lambda _: None)
        assert (tmp_path / path).read_bytes() == content
    server.faults["config.json"] = ["wrong"]
    with Hub() as hub, pytest.raises(Unreachable, match="damaged"):
        hub.fetch(
            Repository(NAME, COMMIT, ()), HubFile("config.json", len(CONFIG), ""), tmp_path / "again", lambda _: None
        )


def test_a_full_disk_is_told(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Hub() as hub:
        repository = hub.describe(NAME)
        with pytest.raises(StorageFull, match="goes on where it stopped"):
            hub.fetch(repository, repository.files[1], tmp_path / "model.onnx", full)


def test_git_hashes_are_git_s(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert (
        content_digest(tmp_path / "empty", 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    )  # what git says of an empty file
    (tmp_path / "config").write_bytes(CONFIG)
    assert content_digest(tmp_path / "config", 40) == git_sha(CONFIG)
