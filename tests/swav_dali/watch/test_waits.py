"""The wait for data is the device's, by events around the hand-over; what the host waits stands beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from swav_dali.ranks.world import World
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.watch import PerImage, Watch


class Event:
    """Passes on a device whose clock is 3 ms further at every event."""

    clock = itertools.count(step=3)

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = next(self.clock)

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: Event) -> float:
        return float(other.at - self.at)

    def synchronize(self) -> None:
        raise AssertionError("waits for the device")


def watch(device: str) -> Watch:
    world = World(rank=0, size=1, local_rank=0, device=torch.device(device))
    return Watch(
        world,
        SkippedSteps(3, []),
        Path("nowhere"),
        PerImage(crops=8),
        wants_headspace=False,
        stops_on_collapse=False,
    )


def batches(ticks: list[float]) -> Iterator[int]:
    """Each takes the host 500 ms."""
    for number in range(2):
        ticks[0] += 0.5
        yield number


@pytest.mark.parametrize(("device", "wait"), [("cuda", 0.003), ("cpu", 0.5)])
def test_device_and_host_are_timed_apart(monkeypatch: pytest.MonkeyPatch, device: str, wait: float) -> None:
    ticks = [0.0]
    monkeypatch.setattr("swav_dali.watch.spans.torch.cuda.Event", Event)
    monkeypatch.setattr("swav_dali.watch.spans.time.perf_counter", lambda: ticks[0])
    watching = watch(device)
    for _ in watching.waits(batches(ticks)):
        ticks[0] += 1  # the step itself
        watching.spans.end_step()
    assert watching.spans.read() == pytest.approx({"data": wait, "host_wait": 0.5})
