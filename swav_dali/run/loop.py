"""The training loop: what happens in a step, at a log step, at the end of an epoch. It has no maths in it."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from pipelines.batch import Loader
from swav_dali.config.sections import RunConfig
from swav_dali.errors import TrainingError
from swav_dali.evaluate.probe import KnnProbe
from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.step import StepOptions, StepResult, train_step
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import share_buffers
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import Stateful, prune_checkpoints, save_checkpoint
from swav_dali.run.folder import flatten
from swav_dali.run.plan import TrainPlan
from swav_dali.watch.health import all_finite, health
from swav_dali.watch.meter import Meter
from swav_dali.watch.sinks.base import Event, SinkGroup

_GC_STEPS = 1000  # a collection costs tens of milliseconds: all ranks pay it on the same step
_Item = TypeVar("_Item")


@dataclass(slots=True)
class Clock:
    """Steps done and seconds trained, over all resumes."""

    step: int = 0
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Both figures."""
        return {"step": self.step, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over both figures."""
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything the loop uses; assembled by swav_dali.run.trainer."""

    config: RunConfig
    world: World
    plan: TrainPlan
    model: SwavNet
    net: nn.Module
    """`model`, or its DistributedDataParallel wrapper."""
    optimizer: Larc
    queue: FeatureQueue | None
    loader: Loader
    meter: Meter
    probe: KnnProbe | None
    sinks: SinkGroup
    options: StepOptions
    autocast_dtype: torch.dtype | None
    shared: dict[str, Stateful]
    per_rank: dict[str, Stateful]
    versions: dict[str, str]
    clock: Clock = field(default_factory=Clock)


def fit(run: Run) -> None:
    """Train until the plan's last step; every rank calls it."""
    with _collecting_by_hand():
        if run.probe is not None:
            _measure_floors(run, run.probe)
        while run.clock.step < run.plan.total_steps:
            _train_epoch(run)
            _end_epoch(run)


def _train_epoch(run: Run) -> None:
    run.meter.reset()
    for batch in _timed(run.loader, run.meter):
        result = train_step(
            run.net,
            batch.groups,
            optimizer=run.optimizer,
            queue=run.queue if run.clock.step >= run.plan.queue_start_step else None,
            learning_rate=run.plan.learning_rates[run.clock.step],
            freeze_prototypes=run.clock.step < run.plan.freeze_prototypes_steps,
            options=run.options,
            autocast_dtype=run.autocast_dtype,
        )
        run.clock.step += 1
        run.meter.update(result.loss, run.loader.batch_size, replaced=len(batch.replaced))
        for name in batch.replaced:
            run.sinks.event(Event("warning", run.clock.step, f"cannot be decoded, another stands in: {name}"))
        if run.plan.log_is_due(run.clock.step):
            _log(run, result)
        if run.plan.step_checkpoint_is_due(run.clock.step):
            _save(run)
        if run.clock.step % _GC_STEPS == 0:
            gc.collect()


def _end_epoch(run: Run) -> None:
    epoch = run.clock.step // run.plan.steps_per_epoch
    if run.probe is not None and run.plan.knn_is_due(epoch):
        share_buffers(run.model)
        top1 = run.probe.measure(run.model.features)
        run.sinks.record({**_place(run), "knn_top1": top1, **run.probe.floors})
    if run.plan.epoch_checkpoint_is_due(epoch):
        _save(run)


def _measure_floors(run: Run, probe: KnnProbe) -> None:
    if not probe.floors:
        probe.measure_floors(run.model.features if run.clock.step == 0 else None)
        start = {"knn_top1": probe.floors["knn_untrained"]} if run.clock.step == 0 else {}
        run.sinks.record({**_place(run), **start, **probe.floors})


def _log(run: Run, result: StepResult) -> None:
    figures = run.meter.read(run.clock.step, health(result.embeddings, result.codes))
    run.clock.seconds += figures.pop("window_seconds")
    seconds_per_step = figures["seconds_per_step"]
    run.sinks.record(
        {
            **_place(run),
            **figures,
            "ln_k": run.model.ln_num_prototypes,
            "lr": run.plan.learning_rates[run.clock.step - 1],
            "queue_in_use": int(run.queue is not None and run.queue.is_full),
            "seconds_left": seconds_per_step * (run.plan.total_steps - run.clock.step),
            **_memory(run.world.device),
        }
    )


def _save(run: Run) -> None:
    if not all_finite(run.model.parameters()):
        raise TrainingError(
            "the weights are not finite, so no checkpoint is written",
            where=f"step {run.clock.step}",
            fix="lower --optim.base-lr or raise --swav.epsilon; the newest checkpoint is sound",
        )
    with run.meter.paused():
        folder = save_checkpoint(
            run.config.folder / "checkpoints",
            step=run.clock.step,
            epoch=run.clock.step // run.plan.steps_per_epoch,
            shared=run.shared,
            per_rank=run.per_rank,
            config=flatten(run.config),
            versions=run.versions,
            world=run.world,
        )
        if run.world.is_main:
            keep = run.config.checkpoint.keep
            permanent = run.plan.checkpoint_is_permanent
            prune_checkpoints(folder.parent, step=run.clock.step, keep=keep, is_permanent=permanent)
    run.sinks.event(Event("checkpoint", run.clock.step, f"checkpoint {folder}"))


def _place(run: Run) -> dict[str, float]:
    done, rest = divmod(run.clock.step, run.plan.steps_per_epoch)
    return {"step": run.clock.step, "epoch": done + (rest > 0), "seconds": round(run.clock.seconds, 3)}


def _memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30}


def _timed(batches: Iterable[_Item], meter: Meter) -> Iterator[_Item]:
    iterator = iter(batches)
    while True:
        began = time.perf_counter()
        try:
            batch = next(iterator)
        except StopIteration:
            return
        meter.seconds_waited += time.perf_counter() - began
        yield batch


@contextlib.contextmanager
def _collecting_by_hand() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
