"""What an evaluation finds stands among the run's own figures, and the report and the replay take it from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swav_dali.errors import ConfigError
from swav_dali.evaluate.results import tell_run
from swav_dali.exchange.weights import Weights
from swav_dali.watch.record import BY_KEY
from swav_dali.watch.report.page import render
from swav_dali.watch.report.runs import read_run

RESULTS: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "linear": ({"top1": 0.61, "best": {"top5": 0.8}}, {"linear_top1": 0.61, "linear_top5": 0.8}),
    "linear-published": ({"top1": 0.6, "top5": 0.9}, {"published_linear_top1": 0.6, "published_linear_top5": 0.9}),
    "semisup": (
        {"top1": 0.5, "top5": 0.7, "labelled_images": 12},
        {"semisup_top1": 0.5, "semisup_top5": 0.7, "semisup_labelled_images": 12},
    ),
    "knn": ({"top1": {"10": 0.4, "200": 0.45}}, {"knn_best_top1": 0.45, "knn_best_neighbours": 200}),
}


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """Of step 20, epoch 2, of a run that has gone on to step 30 since."""
    run = tmp_path / "run"
    folder = run / "checkpoints" / "step-00000020"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"epoch": 2}))
    rows = [{"step": step, "epoch": step // 10, "loss": 4.0} for step in (10, 20, 30)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Weights(state={}, file=folder / "shared.pt", sha256="", run=run, step=20)


@pytest.mark.parametrize("protocol", RESULTS)
def test_the_figures_go_into_the_run_at_the_step_of_the_weights(protocol: str, weights: Weights) -> None:
    assert weights.run is not None
    result, figures = RESULTS[protocol]
    place = Path("step-00000020.json")
    assert tell_run({"protocol": protocol, **result}, weights, place) == weights.run / "metrics.jsonl"
    last = json.loads((weights.run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last == {"step": 20, "epoch": 2, **figures}
    assert {BY_KEY[key].group for key in figures} == {"Evaluation"}
    (event,) = map(json.loads, (weights.run / "events.jsonl").read_text().splitlines())
    assert (event["kind"], event["step"], event["path"]) == ("evaluation", 20, str(place))
    assert all(name in event["text"] for name in figures)


def test_a_report_shows_them_and_still_tells_the_step_of_the_training(weights: Weights) -> None:
    assert weights.run is not None
    tell_run({"protocol": "linear", **RESULTS["linear"][0]}, weights, Path("x.json"))
    run = read_run(weights.run)
    assert run.latest["step"] == 30
    assert run.latest["linear_top1"] == 0.61
    page = render([run])
    assert "linear top1 <b>61.0%</b>" in page
    assert "Evaluated: linear" in page


def test_weights_of_no_run_tell_nobody(tmp_path: Path) -> None:
    of_a_file = Weights(state={}, file=tmp_path / "weights.pth", sha256="")
    assert tell_run({"protocol": "linear", **RESULTS["linear"][0]}, of_a_file, tmp_path / "x.json") is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_written_is_said_in_one_line(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Read-only file system")

    monkeypatch.setattr("swav_dali.evaluate.results.append", refuse)
    with pytest.raises(ConfigError, match="cannot be added to the run, found Read-only"):
        tell_run({"protocol": "linear", **RESULTS["linear"][0]}, weights, Path("x.json"))
