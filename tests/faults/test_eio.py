"""A disk that fails: a write, a flush or a rename ends with an input/output error, once, at places spread over the life of a workspace."""

from __future__ import annotations

import pytest

from tests.faults import every_eio


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    found = every_eio.build(tmp_path_factory.mktemp("library"))
    if found is None:
        pytest.skip("making single calls fail needs Linux and a C compiler called cc")
    return found


PLACES = {"write": (1, 29, 43), "sync": (2, 9), "rename": (2, 4)}
"""Which calls fail here; `python -m tests.faults.every_eio` lets each of them fail."""


@pytest.mark.parametrize("call", every_eio.CALLS)
def test_a_call_that_fails_once_is_said_and_leaves_a_committed_state(library, tmp_path, call):
    refused = 0
    for nth in PLACES[call]:
        found = every_eio.outcome(library, tmp_path / f"at-{nth}", call, nth)
        assert (found.wrong, found.ended in ("done", "refused")) == ("", True), (nth, found)
        if found.ended == "refused":
            refused += 1
            assert "nput/output error" in found.said or "disk" in found.said, found
    assert refused >= 1, "the library makes calls fail"
