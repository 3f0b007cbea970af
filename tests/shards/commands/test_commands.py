"""The commands as a person runs them: exit codes, one line per mistake, help without heavy imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def shards(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shards", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_build_then_info_then_build_again(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    root = make_tree(tmp_path / "pets" / "train", {"cat": 4, "dog": 4}).parent
    make_tree(root / "val", {"cat": 1, "dog": 1})
    first = shards("build", root, tmp_path / "out", "--workers", 1)
    assert first.returncode == 0, first.stderr
    assert "written:" in first.stdout
    assert "images/s" in first.stderr
    info = shards("info", tmp_path / "out")
    assert "images   8" in info.stdout
    assert "classes  2: cat dog" in info.stdout
    again = shards("build", root, tmp_path / "out", "--workers", 1)
    assert (again.returncode, again.stdout.count("already complete")) == (0, 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("build", "nowhere", "out"), "error: nowhere: no such folder"),
        (("info", "nowhere"), "error: nowhere: no such folder"),
        (("build", "empty", "out"), "error: empty: no pictures"),
        (("build", "empty", "out", "--name", "a.b"), "error: --name: not usable in file names"),
        (("build", "empty", "out", "--workers", "0"), "must be 1 or more"),
    ],
)
def test_mistakes_give_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    result = shards(*args)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["build", "demo", "info"])
def test_help_has_examples(command: str) -> None:
    result = shards(command, "--help")
    assert result.returncode == 0
    assert f"python -m shards {command} " in result.stdout.split("examples:")[1]
