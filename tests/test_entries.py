"""What a reader of the repository is told to run exists: console scripts, make targets of CI and of the hooks."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
PAGES = ("CONTRIBUTING.md", ".pre-commit-config.yaml", ".github/workflows/test.yml")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_console_script_is_the_command_of_its_package(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = SCRIPTS[name].partition(":")
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        getattr(importlib.import_module(module), function)()
    assert ended.value.code == 0
    assert f"usage: python -m {module.partition('.')[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_that_are_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", (ROOT / page).read_text()))
    assert named
    assert named <= targets


def test_paths_named_for_contributors_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = [path for path in re.findall(r"`([\w/.]+/[\w/.]+)`", text) if not path.startswith(".venv")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
