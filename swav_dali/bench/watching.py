"""What watching costs a training step: many pairs of a step and a watched one, and the watching by itself.

A busy machine slows both steps of a pair alike, so the median of the pairs' differences is known far better than either
step. The watching timed alone, and a record with everything that goes with one, of which a run makes one every
RECORD_STEPS steps, are its other witness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from shards.harness import report
from shards.harness.report import Column
from shards.harness.turns import Contestant, Spread, Timing, spread, stopwatch
from swav_dali.bench.lineup import Setting, contestant, made_step
from swav_dali.config.log import LogConfig
from swav_dali.method.step import StepResult
from swav_dali.ranks.timer import untimed
from swav_dali.ranks.world import World
from swav_dali.watch.sinks.base import SinkGroup
from swav_dali.watch.sinks.jsonl import JsonlSink
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.watch import PerImage, Watch

STEP, ALONE, RECORD = "a step", "watching alone", "a record"
RECORD_STEPS = LogConfig().every_steps
PARTS = ("forward", "codes", "loss", "backward", "optimizer")


@dataclass(frozen=True, slots=True)
class Pairs:
    """CPU-milliseconds of steps without and with a watch, (pairs,) each, taken one after the other."""

    plain: Sequence[float]
    watched: Sequence[float]

    @property
    def extra_ms(self) -> Spread:
        """What a watched step takes beside its neighbour: the median and its 95 % range.

        The range is that of the order statistics, whatever the noise is like: as many pairs lie above the true median
        as a coin would throw.
        """
        differences = sorted(b - a for a, b in zip(self.plain, self.watched, strict=True))
        middle = median(differences)
        reach = 0.98 * math.sqrt(len(differences))  # 1.96 standard deviations of that number
        low = differences[max(0, math.floor(len(differences) / 2 - reach) - 1)]
        high = differences[min(len(differences) - 1, math.ceil(len(differences) / 2 + reach))]
        return Spread(middle, low, high)

    @property
    def extra(self) -> Spread:
        """The same as a share of a step."""
        step = median(self.plain)
        return Spread(*(each / step for each in self.extra_ms))


def time_pairs(setting: Setting, folder: Path, *, pairs: int) -> Pairs:
    """Time `pairs` pairs of steps of one network, first one kind, then the other in front; records are left out."""
    _, step = made_step(setting)
    watch = _made_watch(setting, folder)
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(-1, pairs):
        for is_watched in (False, True) if number % 2 else (True, False):
            elapsed = stopwatch()
            result = step(timed=watch.spans if is_watched else untimed)
            if is_watched:
                _count(watch, result, setting)
            if setting.device.type == "cuda":
                torch.cuda.synchronize()
            if number >= 0:  # the first pair chooses kernels
                took[is_watched].append(1000 * elapsed(1).cpu_seconds)
    return Pairs(plain=took[False], watched=took[True])


def watching(setting: Setting, folder: Path) -> list[Contestant]:
    """A step, the watching of a step alone, and a record, which is written to `folder`."""
    model, step = made_step(setting)
    watch = _made_watch(setting, folder)
    result = step(timed=untimed)

    def alone() -> None:
        for part in PARTS:
            with watch.spans(part):
                pass
        _count(watch, result, setting)

    def record() -> None:
        alone()
        _record(watch, model)

    bare: Callable[[], object] = partial(step, timed=untimed)
    runs = {STEP: bare, ALONE: alone, RECORD: record}
    return [contestant(name, run, setting) for name, run in runs.items()]


def table(timings: Sequence[Timing]) -> list[str]:
    """CPU-milliseconds of each."""
    columns = (
        Column("CPU-ms", 9, lambda timing: f"{spread(timing.cpu_ms).median:.3f}"),
        Column("range", 19, lambda timing: "{1:.3f} to {2:.3f}".format(*spread(timing.cpu_ms))),
    )
    return report.table(timings, columns, name_width=24)


def share_alone(timings: Sequence[Timing]) -> Spread:
    """What watching takes of a step's CPU time, timed alone, with its part of a record."""
    cpu = {timing.contestant.name: timing.cpu_ms for timing in timings}
    taken = zip(cpu[STEP], cpu[ALONE], cpu[RECORD], strict=True)
    return spread([(each + (record - each) / RECORD_STEPS) / step for step, each, record in taken])


def share_of_records(timings: Sequence[Timing]) -> float:
    """What a step's part of a record takes, beyond what every step is watched with."""
    medians = {timing.contestant.name: timing.cpu_ms_per_item for timing in timings}
    return (medians[RECORD] - medians[ALONE]) / RECORD_STEPS / medians[STEP]


def sentence(timings: Sequence[Timing], pairs: Pairs) -> str:
    """What it comes to."""
    alone, extra, ms = share_alone(timings), pairs.extra, pairs.extra_ms
    return (
        f"A watched step takes {ms.median:+.2f} CPU-ms beside one that is not (95% range {ms.lowest:+.2f} to "
        f"{ms.highest:+.2f}, {len(pairs.plain)} pairs), {extra.median:+.2%} ({extra.lowest:+.2%} to "
        f"{extra.highest:+.2%}); its part of a record every {RECORD_STEPS} steps, {share_of_records(timings):+.2%}. "
        f"Timed alone, both take {alone.median:.2%} of a step ({alone.lowest:.2%} to {alone.highest:.2%} over "
        f"{len(timings[0].turns)} rounds)."
    )


def write_record(path: Path, timings: Sequence[Timing], pairs: Pairs, *, setting: dict[str, Any]) -> None:
    """Write everything as JSON; see shards.harness.report.write_record."""
    results: list[dict[str, Any]] = [{"name": each.contestant.name, "cpu_ms": each.cpu_ms} for each in timings]
    results.append({"name": "share of a step, alone", **share_alone(timings)._asdict()})
    results.append({"name": "share of a step, by pairs", **pairs.extra._asdict(), **asdict(pairs)})
    report.write_record(path, results, setting=setting, packages=("torch",))


def _made_watch(setting: Setting, folder: Path) -> Watch:
    world = World(rank=0, size=1, local_rank=0, device=setting.device)
    watch = Watch(
        world,
        SkippedSteps(0, []),
        folder,
        PerImage(crops=sum(group.num for group in setting.crops)),
        wants_headspace=False,
        stops_on_collapse=False,
    )
    watch.sinks = SinkGroup([JsonlSink(folder, resume_step=-1)])
    return watch


def _count(watch: Watch, result: StepResult, setting: Setting) -> None:
    watch.step(result, images=setting.batch_size, replaced=(), step=1)


def _record(watch: Watch, model: Any) -> None:
    parameters: list[nn.Parameter] = list(model.parameters())
    watch.updates.before(parameters)
    watch.updates.after(parameters)
    figures = {"step": 1, "epoch": 1, "ln_k": model.ln_num_prototypes, "queue_in_use": 0}
    window = watch.close_window()
    watch.log(window, step=1, figures={**figures, **watch.health.figures(model.prototypes.weight)})
