"""The wandb workspace of a run, built without a network: sections, panels' figures and axes; mistakes in a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from shards.errors import run_command
from swav_dali.__main__ import main
from swav_dali.watch.record import BY_KEY, PARTS, grouped_name
from swav_dali.watch.sinks import wandb as sink_module
from swav_dali.watch.workspace import SECTIONS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package that makes workspaces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"run_id": "abc12345", "name": "first", "log.wandb_project": "birds"}))
    return run


def said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["swav_dali", "dashboard", *words])
    code = run_command(main)
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_the_workspace_has_four_sections_of_panels_of_declared_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(monkeypatch, capfd, str(folder), "--json")
    assert code == 0
    view: dict[str, Any] = json.loads(out)
    assert (view["project"], view["displayName"]) == ("birds", "swav-dali first")
    section = view["spec"]["section"]
    shown = [each for each in section["panelBankConfig"]["sections"] if each["panels"]]
    assert [each["name"] for each in shown] == ["Throughput", "Where the time goes", "Learning", "Health"]
    assert all(each["pinned"] and each["isOpen"] for each in shown)
    known = {grouped_name(key) for key in BY_KEY}
    plots = [panel for each in shown for panel in each["panels"] if panel["viewType"] == "Run History Line Plot"]
    assert len(plots) == sum(map(len, SECTIONS.values()))
    assert {metric for plot in plots for metric in plot["config"]["metrics"]} <= known
    assert {plot["config"]["xAxis"] for plot in plots} == {"Place/step", "Place/images_seen", "Place/epoch"}
    (stack,) = [plot["config"] for plot in plots if plot["config"]["plotType"] == "stacked-area"]
    assert stack["metrics"] == [grouped_name(name) for name in PARTS]
    (media,) = [panel for each in shown for panel in each["panels"] if panel["viewType"] == "Media Browser"]
    assert "Pictures/crops" in json.dumps(media)
    (runs,) = section["runSets"]
    assert [(each["key"]["name"], each["value"]) for each in runs["filters"]["filters"]] == [("name", "abc12345")]


@pytest.mark.parametrize(
    ("missing", "login", "words"),
    [(True, True, "wandb-workspaces: not installed"), (False, False, "--wandb: wandb has no login")],
)
def test_what_is_missing_is_said_in_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    missing: bool,
    login: bool,
    words: str,
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setattr(sink_module, "login_is_found", lambda: login)
    code, _, err = said(monkeypatch, capfd, str(folder), "--wandb")
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_server_that_does_not_answer_is_said_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sink_module, "login_is_found", lambda: True)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr("wandb.Api", refuse)
    code, _, err = said(monkeypatch, capfd, str(folder), "--wandb")
    assert code == 2
    assert "the workspace was not made, found connection refused" in err


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(monkeypatch, capfd, str(tmp_path), "--json")
    assert code == 2
    assert "not a run folder" in err
