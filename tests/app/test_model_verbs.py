"""The verbs about models, over a workspace of its own and a model that is a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.errors import BadInput
from tests.encoders.tiny import write_model


def test_a_name_that_is_free_is_found_for_a_model_that_is_here(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "colors")
    with Services(tmp_path / "workspace") as services:
        assert services.free_model_name(str(folder)) == "colors"
        assert services.wait(services.add_model(str(folder)), 60).status == "done"
        assert services.free_model_name(str(folder)) == "colors-2"
        assert services.free_model_name(str(folder), quantise="int4") == "colors-int4"
        assert services.wait(services.add_model(str(folder), name="Colors-2"), 60).status == "done"
        assert services.free_model_name(str(folder)) == "colors-3", "upper and lower case are one name on some disks"
        assert services.free_model_name("BAAI/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2-2", "bundled names are taken"
        with pytest.raises(BadInput, match="no folder"):
            services.free_model_name("./nowhere")
