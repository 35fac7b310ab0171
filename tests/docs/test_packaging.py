"""What is installed is what runs: every package is listed, every import declared, every lock current and pinned."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from engine.errors import WorkspaceDamaged
from engine.models import paths
from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NOT_INSTALLED_HERE = {
    "torch": "torch",
    "safetensors": "safetensors",
    "sentence_transformers": "sentence-transformers",
    "transformers": "transformers",
    "numba": "numba",
    "ir_measures": "ir-measures",
}


def normal(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def declared(*extras: str) -> set[str]:
    found = {normal(line) for line in PROJECT["project"]["dependencies"]}
    for extra in extras:
        found |= {normal(line) for line in PROJECT["project"]["optional-dependencies"][extra]}
    return found


def imported(*folders: str) -> dict[str, str]:
    """Top-level modules from outside that the files import, each with one file that does."""
    own = set(sys.stdlib_module_names) | {"app", "engine", "tests", "__future__"}
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                for name in names:
                    top = name.split(".")[0]
                    if top not in own:
                        found.setdefault(top, str(path.relative_to(ROOT)))
    return found


installed = functools.cache(packages_distributions)


def distributions(module: str) -> set[str]:
    """The distributions that bring a module."""
    named = NOT_INSTALLED_HERE.get(module)
    return {named} if named else {normal(name) for name in installed().get(module, [])}


def test_every_import_of_the_program_is_declared() -> None:
    allowed = declared("export", "ltr", "train")
    for module, where in imported("app", "engine").items():
        assert distributions(module) & allowed, f"{where} imports {module}, which pyproject.toml does not declare"


def test_every_dependency_is_used() -> None:
    used = {name for module in imported("app", "engine") for name in distributions(module)}
    assert declared() - used == set()


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|install|test|ltr|export|train|bench) = \[\n(.*?)^\]", text, re.M | re.S)
    assert len(lists) == 7
    for line in "".join(lists).splitlines():
        assert re.fullmatch(r'  "[^"]+",\s+# +\S.*', line), line


def test_every_package_is_listed() -> None:
    folders = {path.parent for base in ("app", "engine") for path in (ROOT / base).rglob("*.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == packages | {"triptych_assets", "triptych_examples"}, "list it in pyproject.toml: packages"


def pins(file: str) -> dict[str, list[str]]:
    """Versions by name; each pin must carry at least one hash."""
    found: dict[str, list[str]] = {}
    entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / file).read_text(encoding="utf-8"), flags=re.M)[1:]
    for entry in entries:
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        assert match, f"{file}: not pinned: {entry[:60]}"
        assert "--hash=sha256:" in entry, f"{file}: no hash: {match[1]}"
        found.setdefault(normal(match[1]), []).append(match[2])
    return found


def test_locks_are_pinned_and_hold_what_is_declared() -> None:
    run, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert declared("install") <= set(run)
    assert declared("install", "test") <= set(test)
    assert {name: test[name] for name in run} == run
    for heavy in ("torch", "sentence-transformers", "lightgbm"):
        assert heavy not in run


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-test.lock"])
def test_locks_name_no_place(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|file:|(^|\s)/", text)


def test_bundled_folders_are_found_in_a_checkout_and_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.bundled_folder("assets") == ROOT / "assets"
    assert (paths.bundled_folder("examples") / "retrieval-papers" / "corpus.jsonl").is_file()
    (tmp_path / "engine").mkdir()
    (tmp_path / "triptych_assets").mkdir()
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(paths.engine, "__file__", str(tmp_path / "engine" / "__init__.py"))
    assert paths.assets_folder() == tmp_path / "triptych_assets"
    with pytest.raises(WorkspaceDamaged, match="examples"):
        paths.bundled_folder("examples")


def test_the_license_is_the_whole_text() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


@pytest.mark.slow
def test_a_wheel_holds_all_that_running_needs(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    for name in ("app", "engine", "assets", "examples"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    site = tmp_path / "site"
    build = [
        *pip,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--no-compile",
        "--target",
        str(site),
        str(source),
    ]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    held = {
        str(path.relative_to(ROOT))
        for name in ("assets", "examples")
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    copied = {
        f"{name}/{path.relative_to(site / f'triptych_{name}')}"
        for name in ("assets", "examples")
        for path in (site / f"triptych_{name}").rglob("*")
        if path.is_file()
    }
    assert held == copied
    code = "import app, sys\nassert app.__file__.startswith(sys.argv.pop()), app.__file__\nfrom app.cli.main import main\nmain()"
    for arguments in (["models", "list"], ["demo", "--no-serve", "--workspace", str(tmp_path / "workspace")]):
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments, str(site)],
            capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip()
