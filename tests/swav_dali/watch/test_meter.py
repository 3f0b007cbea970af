"""The meter averages on the device and leaves out steps that had no effect."""

from __future__ import annotations

import pytest
import torch

from swav_dali.watch.meter import Meter, Window

SOUND = torch.tensor(-1)


def test_the_loss_is_the_mean_of_the_window_and_a_new_window_starts_empty() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 6.0):
        meter.update(torch.tensor(value), images=4, culprit=SOUND)
    window = meter.close()
    assert window.steps == 3
    assert float(window.figures["loss"]) == pytest.approx(3.0)
    meter.update(torch.tensor(7.0), images=4, culprit=SOUND)
    window = meter.close()
    assert window.steps == 1
    assert float(window.figures["loss"]) == pytest.approx(7.0)


def test_the_callers_loss_is_not_changed() -> None:
    meter, loss = Meter(), torch.tensor(1.0)
    meter.update(loss, images=1, culprit=SOUND)
    meter.update(torch.tensor(5.0), images=1, culprit=SOUND)
    assert loss.item() == 1.0


def test_rates_are_of_the_window_and_replaced_pictures_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 4.0, 4.0, 6.0, 6.0])  # start, close and reset, twice
    monkeypatch.setattr("swav_dali.watch.meter.time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.update(torch.tensor(1.0), images=10, culprit=SOUND, replaced=2)
    meter.update(torch.tensor(1.0), images=30, culprit=SOUND, replaced=1)
    first = meter.close()
    assert first.seconds == 4.0
    assert first.seconds_per_step == 2.0
    assert {**first.figures, "loss": 0} == {
        "loss": 0,
        "images_per_second": 10.0,
        "seconds_per_step": 2.0,
        "samples_replaced": 3,
        "steps_skipped": 0,
    }
    meter.update(torch.tensor(1.0), images=10, culprit=SOUND, replaced=4)
    second = meter.close().figures
    assert (second["images_per_second"], second["seconds_per_step"]) == (5.0, 2.0)
    assert second["samples_replaced"] == 7


def test_a_pause_is_kept_out_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 11.0, 12.0, 12.0])
    monkeypatch.setattr("swav_dali.watch.meter.time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.update(torch.tensor(1.0), images=10, culprit=SOUND)
    with meter.paused():
        pass
    window = meter.close()
    assert window.seconds == pytest.approx(2.0)
    assert window.figures["images_per_second"] == pytest.approx(5.0)


def test_a_reset_drops_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.update(torch.tensor(100.0), images=10, culprit=SOUND)
    meter.reset()
    meter.update(torch.tensor(3.0), images=1, culprit=SOUND)
    window = meter.close()
    assert window.steps == 1
    assert float(window.figures["loss"]) == 3.0


def window_of(meter: Meter, steps: list[tuple[float, int]]) -> Window:
    for loss, culprit in steps:
        meter.update(torch.tensor(loss), images=1, culprit=torch.tensor(culprit))
    return meter.close()


def test_steps_without_effect_are_counted_for_good_and_left_out_of_the_loss() -> None:
    meter, nan = Meter(), float("nan")
    window = window_of(meter, [(1.0, -1), (nan, 5), (3.0, -1), (float("inf"), 2), (5.0, -1)])
    assert float(window.figures["loss"]) == pytest.approx(3.0)
    assert float(window.figures["steps_skipped"]) == 2
    assert window.steps == 5
    window = window_of(meter, [(nan, 0), (7.0, -1)])
    assert float(window.figures["loss"]) == pytest.approx(7.0)
    assert float(window.figures["steps_skipped"]) == 3


def test_the_first_step_without_effect_of_a_window_is_kept_in_mind() -> None:
    meter, nan = Meter(), float("nan")
    assert window_of(meter, [(1.0, -1), (nan, 5), (nan, 2)]).first_skipped.tolist() == [1, 5]
    assert window_of(meter, [(1.0, -1), (2.0, -1)]).first_skipped[1] < 0
    assert window_of(meter, [(nan, 0), (2.0, -1)]).first_skipped.tolist() == [0, 0]


def test_a_window_without_any_effect_has_no_loss() -> None:
    assert window_of(Meter(), [(float("nan"), 1)]).figures["loss"].isnan()
