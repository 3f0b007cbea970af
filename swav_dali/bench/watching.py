"""What watching costs a training step: a step alone and a watched one in turns, and the watching by itself.

The difference of two steps drowns in their noise, so what the watch does is timed alone as well: its timers and sums of
a step, and a record with everything that goes with one, of which a run makes one every RECORD_STEPS steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from shards.harness import report
from shards.harness.report import Column
from shards.harness.turns import Contestant, Spread, Timing, find, spread
from swav_dali.bench.lineup import Setting, contestant, made_step
from swav_dali.config.log import LogConfig
from swav_dali.method.step import StepResult
from swav_dali.ranks.timer import untimed
from swav_dali.ranks.world import World
from swav_dali.watch.sinks.base import SinkGroup
from swav_dali.watch.sinks.jsonl import JsonlSink
from swav_dali.watch.skipped import SkippedSteps
from swav_dali.watch.watch import PerImage, Watch

STEP, WATCHED, ALONE, RECORD = "a step", "a watched step", "watching alone", "a record"
RECORD_STEPS = LogConfig().every_steps
PARTS = ("forward", "codes", "loss", "backward", "optimizer")


def watching(setting: Setting, folder: Path) -> list[Contestant]:
    """A step, the same watched, the watching of a step alone, and a record, which is written to `folder`."""
    model, step = made_step(setting)
    _, watched_step = made_step(setting)
    watch = _made_watch(setting, folder)
    result = step(timed=untimed)

    def watched() -> None:
        _count(watch, watched_step(timed=watch.spans), setting)

    def alone() -> None:
        for part in PARTS:
            with watch.spans(part):
                pass
        _count(watch, result, setting)

    def record() -> None:
        alone()
        _record(watch, model)

    bare: Callable[[], object] = partial(step, timed=untimed)
    runs = {STEP: bare, WATCHED: watched, ALONE: alone, RECORD: record}
    return [contestant(name, run, setting) for name, run in runs.items()]


def table(timings: Sequence[Timing]) -> list[str]:
    """CPU-milliseconds of each."""
    columns = (
        Column("CPU-ms", 9, lambda timing: f"{spread(timing.cpu_ms).median:.3f}"),
        Column("range", 19, lambda timing: "{1:.3f} to {2:.3f}".format(*spread(timing.cpu_ms))),
    )
    return report.table(timings, columns, name_width=24)


def shares(timings: Sequence[Timing]) -> tuple[Spread, Spread]:
    """Of a step's CPU time: what watching takes, timed alone with its part of a record; and by pairs of steps."""
    cpu = {timing.contestant.name: timing.cpu_ms for timing in timings}
    assert find(timings, STEP) is not None
    alone = [
        (each + (record - each) / RECORD_STEPS) / step
        for step, each, record in zip(cpu[STEP], cpu[ALONE], cpu[RECORD], strict=True)
    ]
    pairs = [watched / step - 1 for step, watched in zip(cpu[STEP], cpu[WATCHED], strict=True)]
    return spread(alone), spread(pairs)


def sentence(timings: Sequence[Timing]) -> str:
    """What it comes to."""
    alone, pairs = shares(timings)
    return (
        f"Watching takes {alone.median:.2%} of a step's CPU time ({alone.lowest:.2%} to {alone.highest:.2%}), "
        f"with a record every {RECORD_STEPS} steps. A watched step takes {pairs.median:+.2%} beside one that is not "
        f"({pairs.lowest:+.2%} to {pairs.highest:+.2%} over {len(timings[0].turns)} rounds)."
    )


def write_record(path: Path, timings: Sequence[Timing], *, setting: dict[str, Any]) -> None:
    """Write everything as JSON; see shards.harness.report.write_record."""
    alone, pairs = shares(timings)
    results: list[dict[str, Any]] = [{"name": each.contestant.name, "cpu_ms": each.cpu_ms} for each in timings]
    results.append({"name": "share of a step", "alone": alone._asdict(), "pairs": pairs._asdict()})
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
