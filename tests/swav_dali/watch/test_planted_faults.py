"""Faults planted into the parts of a step on two real ranks, timed by real clocks: each is named in the next record.

What the machine tells of its cores is made up, because others may use them while this runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.world import World
from swav_dali.watch import judge, machine
from swav_dali.watch.sinks.base import Event, Record, SinkGroup
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.watch import PerImage, Watch

RUNS, STEPS = 5, 3
USUAL_MS = {"data": 2, "forward": 40, "codes": 2, "loss": 2, "backward": 60, "optimizer": 4, "checkpoint": 0}
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "model-bound": {},
    "input-bound by storage": {"data": 120},
    "input-bound by decode": {"data": 120, "busy": 0.95, "decode_ms": 20.0},
    "input-bound by crops": {"data": 120, "busy": 0.95, "decode_ms": 0.1},
    "straggler rank 1": {"slow_rank": {"forward": 160}},
    "optimizer-bound": {"optimizer": 120},
    "checkpoint-bound": {"checkpoint": 150},
}


class Verdicts:
    def __init__(self) -> None:
        self.told: list[str] = []

    def record(self, record: Record) -> None:
        pass

    def event(self, event: Event) -> None:
        if event.kind == "verdict":
            self.told.append(event.text.split(":")[0])

    def close(self, *, failed: bool = False) -> None:
        pass


class Done:
    loss, grad_norm, culprit = torch.tensor(1.0), torch.tensor(1.0), torch.tensor(-1)
    embeddings, codes = torch.nn.functional.normalize(torch.randn(2, 4, 8), dim=-1), torch.eye(4).repeat(2, 1, 1)


def _made_up_machine(busy: float) -> None:
    def threads() -> Iterator[Any]:
        now = time.perf_counter()
        yield machine._Thread(1, "[DALI][TP0]", busy * now, 0.0)

    machine._threads = threads
    machine._host_ticks = lambda: (50 * time.perf_counter(), 100 * time.perf_counter())


def _verdict(world: World, fault: Mapping[str, Any]) -> str:
    """What is told after the second window, the first that is judged."""
    judge.LEAST_SECONDS = 0.0
    _made_up_machine(fault.get("busy", 0.1))
    per_image = PerImage(crops=2, decode_ms=lambda: float(fault.get("decode_ms", 0)))
    watch = Watch(world, SkippedSteps(9, []), Path("none"), per_image, wants_headspace=False, stops_on_collapse=False)
    verdicts = Verdicts()
    watch.sinks = SinkGroup([verdicts] if world.is_main else [])
    mine = {**USUAL_MS, **fault, **(fault.get("slow_rank", {}) if world.rank == 1 else {})}
    for step in range(1, 2 * STEPS + 1):
        with watch.spans.host("data"):
            time.sleep(mine["data"] / 1000)
        for part in ("forward", "codes", "loss", "backward", "optimizer"):
            with watch.spans(part):
                time.sleep(mine[part] / 1000)
                if part in ("codes", "backward"):
                    sum_over_ranks(torch.ones(1), watch.spans)
        watch.step(Done(), images=4, replaced=(), step=step)
        if step % STEPS == 0:
            place = {"step": step, "epoch": 1, "ln_k": 1.4, "queue_in_use": 0}
            watch.log(watch.close_window(), step=step, figures={**place, **watch.health.figures(torch.eye(4, 8))})
            with watch.paused(), watch.spans.host("checkpoint"):
                time.sleep(mine["checkpoint"] / 1000)
    return verdicts.told[0] if world.is_main else ""


def _confusion(world: World) -> dict[str, dict[str, int]]:
    return {name: dict(Counter(_verdict(world, fault) for _ in range(RUNS))) for name, fault in FAULTS.items()}


@pytest.mark.slow
def test_each_fault_is_named_in_every_run_and_none_in_a_clean_one(run_ranks: Callable[..., list[Any]]) -> None:
    table = run_ranks(_confusion, 2)[0]
    for planted, told in table.items():
        print(f"{planted:24} {told}")
    assert table == {name: {name: RUNS} for name in FAULTS}
