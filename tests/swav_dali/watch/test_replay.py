"""A run that was killed and resumed three times becomes one wandb run: every metric at every step, once, in order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swav_dali.errors import ConfigError
from swav_dali.watch.record import grouped_name
from swav_dali.watch.replay import replay
from swav_dali.watch.sinks.base import Event
from swav_dali.watch.sinks.jsonl import JsonlSink, read_lines
from swav_dali.watch.sinks.wandb import WandbSink

KILLED_AFTER = (7, 12, 18)
SAVED_AT = (-1, 5, 10, 15)
LAST = 25


def record(step: int, attempt: int) -> dict[str, float]:
    return {"step": step, "epoch": 1, "loss": 5.0 - 0.1 * step, "lr": 0.5, "seconds": 10.0 * attempt}


@pytest.fixture
def resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder after three kills; each start has its own offline folder, of one id."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"run_id": "abc12345", "name": "run", "optim.epochs": 3}))
    for attempt, (saved, killed) in enumerate(zip(SAVED_AT, (*KILLED_AFTER, LAST), strict=True)):
        jsonl = JsonlSink(folder, resume_step=saved)
        for step in range(max(saved, 0) + 1, killed + 1):
            jsonl.record(record(step, attempt))
            if step % 10 == 0:
                jsonl.record({"step": step, "epoch": 1, "knn_top1": step / 100})
        jsonl.event(Event("verdict", killed, f"attempt {attempt}"))
        jsonl.close()
    for attempt in range(2):
        settings = {"mode": "offline", "project": "p", "name": "run", "run_id": "abc12345", "config": {}}
        sink = WandbSink(folder, **settings)  # type: ignore[arg-type]
        sink.record(record(attempt, attempt))
        sink.close()
    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    """What wandb's own parser finds in the one offline folder that `wandb sync` would take."""
    (segment,) = (folder / "wandb").glob("offline-run-*")
    (path,) = segment.glob("*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [json.loads(line) for line in said.splitlines()]
    return [row["history"]["item"] for row in rows if row["type"] == "history"]


def expected(folder: Path) -> dict[int, dict[str, float]]:
    by_step: dict[int, dict[str, float]] = {}
    for line in read_lines(folder / "metrics.jsonl"):
        values = json.loads(line)
        by_step.setdefault(values["step"], {}).update({grouped_name(key): value for key, value in values.items()})
    return by_step


def test_every_metric_is_there_once_in_order_and_again_changes_nothing(resumed_run: Path) -> None:
    for _ in range(2):
        assert replay(resumed_run, mode="offline") == LAST
        rows = history(resumed_run)
        assert [row["_step"] for row in rows] == list(range(1, LAST + 1))
        found = {row["_step"]: {key: value for key, value in row.items() if "/" in key} for row in rows}
        assert found == expected(resumed_run)
    assert {row["_step"]: row["Learning/knn_top1"] for row in rows if "Learning/knn_top1" in row} == {10: 0.1, 20: 0.2}
    assert len(list((resumed_run / "wandb").glob("replaced-offline-run-*"))) == 3


def test_what_is_no_run_is_refused_before_wandb_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run folder"):
        replay(tmp_path, mode="offline")
    assert list(tmp_path.iterdir()) == []
