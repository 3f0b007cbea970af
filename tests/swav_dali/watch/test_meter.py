"""The meter averages on the device and names the window, and the rank, in which a loss went wrong."""

from __future__ import annotations

import pytest
import torch

from swav_dali.errors import TrainingError
from swav_dali.watch.meter import Meter, refuse_not_finite


def test_the_loss_is_the_mean_of_the_window_and_a_new_window_starts_empty() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 6.0):
        meter.update(torch.tensor(value), images=4)
    window = meter.close()
    assert window.steps == 3
    assert float(window.figures["loss"]) == pytest.approx(3.0)
    meter.update(torch.tensor(7.0), images=4)
    window = meter.close()
    assert window.steps == 1
    assert float(window.figures["loss"]) == pytest.approx(7.0)


def test_the_callers_loss_is_not_changed() -> None:
    meter, loss = Meter(), torch.tensor(1.0)
    meter.update(loss, images=1)
    meter.update(torch.tensor(5.0), images=1)
    assert loss.item() == 1.0


def test_rates_are_of_the_window_and_replaced_pictures_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 4.0, 4.0, 6.0, 6.0])  # start, close and reset, twice
    monkeypatch.setattr("swav_dali.watch.meter.time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.update(torch.tensor(1.0), images=10, replaced=2)
    meter.update(torch.tensor(1.0), images=30, replaced=1)
    first = meter.close()
    assert first.seconds == 4.0
    assert first.seconds_per_step == 2.0
    assert {**first.figures, "loss": 0} == {
        "loss": 0,
        "images_per_second": 10.0,
        "seconds_per_step": 2.0,
        "samples_replaced": 3,
    }
    meter.update(torch.tensor(1.0), images=10, replaced=4)
    second = meter.close().figures
    assert (second["images_per_second"], second["seconds_per_step"]) == (5.0, 2.0)
    assert second["samples_replaced"] == 7


def test_a_pause_is_kept_out_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0, 12.0])
    monkeypatch.setattr("swav_dali.watch.meter.time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.update(torch.tensor(1.0), images=10)
    with meter.paused():
        pass
    window = meter.close()
    assert window.seconds == pytest.approx(2.0)
    assert window.figures["images_per_second"] == pytest.approx(5.0)


def test_a_reset_drops_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.update(torch.tensor(100.0), images=10)
    meter.reset()
    meter.update(torch.tensor(3.0), images=1)
    window = meter.close()
    assert window.steps == 1
    assert float(window.figures["loss"]) == 3.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_naming_its_steps(bad: float) -> None:
    with pytest.raises(TrainingError, match="steps 8 to 10:") as caught:
        refuse_not_finite([bad], step=10, steps=3)
    assert "rank" not in str(caught.value).partition("found")[0]


def test_of_several_ranks_the_first_bad_one_is_named() -> None:
    with pytest.raises(TrainingError, match=r"steps 8 to 10, rank 1.*found nan"):
        refuse_not_finite([1.0, float("nan"), float("inf")], step=10, steps=3)
    refuse_not_finite([1.0, 2.0], step=10, steps=3)
