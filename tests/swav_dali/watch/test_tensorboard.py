"""TensorBoard's own reader finds every figure once, also of a run that was resumed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shards.errors import UserError
from swav_dali.watch.sinks.base import Event
from swav_dali.watch.sinks.tensorboard import FOLDER, TensorBoardSink


def write(folder: Path, steps: range, loss: float, *, resume_step: int) -> None:
    sink = TensorBoardSink(folder, resume_step=resume_step)
    for step in steps:
        sink.record({"step": step, "epoch": 1, "loss": loss + step, "slowest_rank": 0})
    sink.event(Event("verdict", steps[-1], "model-bound <b>"))
    sink.close()


def test_a_resumed_run_is_one_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, range(1, 6), 0.0, resume_step=-1)
    write(tmp_path, range(4, 9), 100.0, resume_step=3)
    found = EventAccumulator(str(tmp_path / FOLDER)).Reload()
    (name,) = (tag for tag in found.Tags()["scalars"] if tag.endswith("/loss"))
    curve = {event.step: event.value for event in found.Scalars(name)}
    assert curve == {step: step + (100.0 if step > 3 else 0.0) for step in range(1, 9)}
    assert len(found.Scalars(name)) == 8
    assert any("verdict" in tag for tag in found.Tags()["tensors"])


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"--log.tensorboard needs the package tensorboard, .* \[tensorboard\]"):
        TensorBoardSink(tmp_path, resume_step=-1)
