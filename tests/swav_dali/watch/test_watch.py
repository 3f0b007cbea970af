"""The watch reads nothing from the device between records, tells verdicts and symptoms once, and stops if it shall."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from swav_dali.errors import TrainingError
from swav_dali.ranks.world import World
from swav_dali.watch.headspace import Headspace
from swav_dali.watch.sinks.base import Event, Record, SinkGroup
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.verdict import Verdict
from swav_dali.watch.watch import REQUEST, PerImage, Watch

READS_THE_DEVICE = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "is_nonzero",
    "equal",
    "bincount",
    "unique",
    "masked_select",
)


class NoReading(TorchDispatchMode):
    """Fails on every operator that would wait for a device to know a value or a shape."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket.__name__ not in READS_THE_DEVICE, func
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Done:
    loss: Tensor
    embeddings: Tensor
    codes: Tensor
    grad_norm: Tensor
    culprit: Tensor


class Memory:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[Event] = []

    def record(self, record: Record) -> None:
        self.records.append(record)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def close(self, *, failed: bool = False) -> None:
        pass


def watch(
    folder: Path, *, stops: bool = False, decode_ms: float | None = None, traces: bool = False
) -> tuple[Watch, Memory]:
    world = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
    per_image = PerImage(crops=4, tar_bytes=1e6, decode_ms=None if decode_ms is None else lambda: decode_ms)
    made = Watch(
        world,
        SkippedSteps(10, ["embeddings"]),
        folder,
        per_image,
        wants_headspace=True,
        stops_on_collapse=stops,
        traces=traces,
    )
    memory = Memory()
    made.sinks = SinkGroup([memory])
    return made, memory


def done(*, collapsed: bool = False) -> Done:
    noise = torch.ones(4, 8, 16) if collapsed else torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(0))
    codes = torch.full((2, 8, 10), 0.1) if collapsed else torch.eye(10)[:8].repeat(2, 1, 1)
    embeddings = functional.normalize(noise, dim=-1)
    return Done(torch.tensor(1.0), embeddings, codes, torch.tensor(1.0), torch.tensor(-1))


def log(watched: Watch, step: int, result: Done) -> None:
    watched.step(result, images=8, replaced=(), step=step)
    window = watched.close_window()
    place = {"step": step, "epoch": 1, "ln_k": 2.3026, "queue_in_use": 0}
    watched.log(window, step=step, figures={**place, **watched.health.figures(torch.eye(10, 16))})


def test_steps_between_records_read_nothing_from_the_device(tmp_path: Path) -> None:
    watched, _ = watch(tmp_path)
    with NoReading():
        for step in range(1, 5):
            watched.step(done(), images=8, replaced=(), step=step)
    with pytest.raises(AssertionError), NoReading():  # the counter does see a read
        watched.health.figures(torch.eye(10, 16))["rankme"].item()


def test_a_record_has_its_rates_and_its_share_of_the_headspace(tmp_path: Path) -> None:
    watched, memory = watch(tmp_path)
    watched.keep_headspace(Headspace(1000.0, 0.008, flops_per_image=2e9), step=0)
    log(watched, 1, done())
    (record,) = memory.records
    rate = float(record["images_per_second"])
    assert record["crops_per_second"] == pytest.approx(4 * rate)
    assert record["mb_per_second"] == pytest.approx(rate)
    assert record["model_tflops"] == pytest.approx(rate * 2e9 / 1e12)
    assert record["headspace_share"] == pytest.approx(rate / 1000)
    assert "mfu" not in record  # a CPU has no peak that is known
    assert [event.kind for event in memory.events] == ["headspace"]


def test_a_verdict_is_told_from_the_second_record_on_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swav_dali.watch.judge.LEAST_SECONDS", 0.0)
    bounds = iter(("optimizer-bound", "optimizer-bound", "optimizer-bound", "model-bound", "model-bound"))
    monkeypatch.setattr("swav_dali.watch.judge.judge", lambda *_, **__: Verdict(next(bounds), "it is", "less", 0.5))
    watched, memory = watch(tmp_path)
    for step in range(1, 7):  # the first window is never judged: it holds what happens once
        log(watched, step, done())
    told = [(event.step, event.text.split(":")[0]) for event in memory.events if event.kind == "verdict"]
    assert told == [(2, "optimizer-bound"), (5, "model-bound")]


def test_a_collapse_is_told_once_and_ends_the_run_if_it_shall(tmp_path: Path) -> None:
    watched, memory = watch(tmp_path)
    log(watched, 1, done())
    log(watched, 2, done(collapsed=True))
    log(watched, 3, done(collapsed=True))
    assert [(event.kind, event.step) for event in memory.events if event.kind == "health"] == [("health", 2)]
    watched, memory = watch(tmp_path, stops=True)
    log(watched, 1, done())
    with pytest.raises(TrainingError, match=r"step 2, --health\.on-collapse stop: the model has collapsed"):
        log(watched, 2, done(collapsed=True))
    assert memory.events[-1].kind == "health"
    assert len(memory.records) == 2


def test_a_file_asks_for_the_headspace_and_is_taken_away(tmp_path: Path) -> None:
    watched, _ = watch(tmp_path)
    watched.keep_headspace(Headspace(1000.0, 0.008), step=0)
    assert not watched.wants_headspace
    (tmp_path / REQUEST).touch()
    log(watched, 1, done())
    assert watched.wants_headspace
    assert not (tmp_path / REQUEST).exists()


def test_comparing_weights_reads_nothing_from_the_device(tmp_path: Path) -> None:
    watched, memory = watch(tmp_path)
    weights = [torch.ones(3, 4), torch.ones(5)]
    with NoReading():
        watched.updates.before(weights)
        weights[0][0] += 0.1
        watched.updates.after(weights)
    log(watched, 1, done())
    log(watched, 2, done())
    assert "update_ratio" in memory.records[0]
    assert "update_ratio" not in memory.records[1]


def test_a_new_verdict_is_traced_and_windows_with_a_trace_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swav_dali.watch.judge.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("swav_dali.watch.trace.STEPS", 2)
    seen: list[int] = []
    told = [Verdict("model-bound", "", ""), Verdict("straggler rank 1", "", "")]
    watched, memory = watch(tmp_path, traces=True)
    monkeypatch.setattr(watched._judge, "see", lambda *_: (seen.append(1), told[len(seen) - 1])[1])
    for step in range(1, 6):
        log(watched, step, done())
    assert len(seen) == 2  # not the first window, and not those of steps 3 and 4, which were traced
    assert [event.step for event in memory.events if event.kind == "trace"] == [2, 5]
    assert "rank 1" in memory.events[-1].text  # it is the one to trace
    assert [path.name for path in (tmp_path / "traces").iterdir()] == ["step-00000002-model-bound.json.gz"]
