"""The meter averages on the device and names the window in which a loss went wrong."""

from __future__ import annotations

import pytest
import torch

from swav_dali.errors import TrainingError
from swav_dali.ranks.world import World
from swav_dali.watch.meter import Meter


def meter() -> Meter:
    return Meter(World(rank=0, size=1, local_rank=0, device=torch.device("cpu")))


def test_the_loss_is_the_mean_of_the_window_and_a_new_window_starts_empty() -> None:
    made = meter()
    for value in (1.0, 2.0, 6.0):
        made.update(torch.tensor(value), images=4)
    assert made.read(3, {"gauge": torch.tensor(0.5)})["loss"] == pytest.approx(3.0)
    made.update(torch.tensor(7.0), images=4)
    figures = made.read(4, {"gauge": torch.tensor(0.25)})
    assert figures["loss"] == pytest.approx(7.0)
    assert figures["gauge"] == pytest.approx(0.25)


def test_the_callers_loss_is_not_changed() -> None:
    made, loss = meter(), torch.tensor(1.0)
    made.update(loss, images=1)
    made.update(torch.tensor(5.0), images=1)
    assert loss.item() == 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_naming_its_steps(bad: float) -> None:
    made = meter()
    for value in (1.0, bad, 1.0):
        made.update(torch.tensor(value), images=1)
    with pytest.raises(TrainingError, match="steps 8 to 10"):
        made.read(10, {})


def test_a_pause_is_kept_out_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0, 12.0])
    monkeypatch.setattr("swav_dali.watch.meter.time.perf_counter", lambda: next(now))
    made = meter()
    made.update(torch.tensor(1.0), images=10)
    with made.paused():
        pass
    figures = made.read(1, {})
    assert figures["window_seconds"] == pytest.approx(2.0)
    assert figures["images_per_second"] == pytest.approx(5.0)
