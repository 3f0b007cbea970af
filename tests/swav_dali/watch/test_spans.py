"""Parts of a step are timed by the clock on a CPU, and by events that nobody waits for on a CUDA device."""

from __future__ import annotations

import itertools

import pytest
import torch

from swav_dali.watch.spans import Spans


class FakeEvent:
    """A CUDA event on a stream whose work is done up to `passed`; the time between two is that of their numbers."""

    passed = 0
    made = 0
    numbers = itertools.count()

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        type(self).made += 1

    def record(self) -> None:
        self.number = next(self.numbers)

    def query(self) -> bool:
        return self.number < self.passed

    def elapsed_time(self, other: FakeEvent) -> float:
        assert self.query(), "read before it has passed"
        assert other.query(), "read before it has passed"
        return float(other.number - self.number)  # milliseconds

    def synchronize(self) -> None:
        raise AssertionError("waits for the device")


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> type[FakeEvent]:
    monkeypatch.setattr(FakeEvent, "passed", 0)
    monkeypatch.setattr(FakeEvent, "made", 0)
    monkeypatch.setattr(FakeEvent, "numbers", itertools.count())
    monkeypatch.setattr("swav_dali.watch.spans.torch.cuda.Event", FakeEvent)
    return FakeEvent


def clock(monkeypatch: pytest.MonkeyPatch, times: list[float]) -> None:
    now = iter(times)
    monkeypatch.setattr("swav_dali.watch.spans.time.perf_counter", lambda: next(now))


def test_on_a_cpu_parts_are_means_per_step_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [0.0, 1.0, 10.0, 12.0, 20.0, 23.0, 30.0, 34.0])
    spans = Spans(torch.device("cpu"))
    with spans.host("data"):
        pass
    with spans("forward"):
        pass
    spans.end_step()
    with spans.host("data"):
        pass
    with spans("forward"):
        pass
    spans.end_step()
    assert spans.read() == {"data": 2.0, "forward": 3.0}
    assert spans.read() == {}


def test_a_part_entered_twice_in_a_step_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [0.0, 1.0, 5.0, 7.0])
    spans = Spans(torch.device("cpu"))
    for _ in range(2):
        with spans("forward"):
            pass
    spans.end_step()
    assert spans.read() == {"forward": 3.0}


def test_on_cuda_only_steps_that_have_passed_are_read_and_the_rest_later(fake_cuda: type[FakeEvent]) -> None:
    spans = Spans(torch.device("cuda"))
    for _ in range(3):
        with spans("forward"), spans("backward"):  # events 0 1 2 3: 3 ms outside, 1 ms inside
            pass
        spans.end_step()
    fake_cuda.passed = 8
    assert spans.read() == pytest.approx({"forward": 0.003, "backward": 0.001})
    fake_cuda.passed = 11
    assert spans.read() == {}
    fake_cuda.passed = 12
    assert spans.read() == pytest.approx({"forward": 0.003, "backward": 0.001})


def test_events_are_used_again(fake_cuda: type[FakeEvent]) -> None:
    spans = Spans(torch.device("cuda"))
    fake_cuda.passed = 1000
    for _ in range(20):
        with spans("forward"):
            pass
        spans.end_step()
        spans.read()
    assert fake_cuda.made == 2


def test_what_is_ignored_leaves_the_step_around_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, [0.0, 1.0, 10.0, 15.0, 20.0, 22.0])
    spans = Spans(torch.device("cpu"))
    with spans.host("data"):
        pass
    with spans.apart():
        with spans("forward"):
            pass
        spans.end_step()
        assert spans.read() == {"forward": 5.0}
    with spans("forward"):
        pass
    spans.end_step()
    assert spans.read() == {"data": 1.0, "forward": 2.0}
