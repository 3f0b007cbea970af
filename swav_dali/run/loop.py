"""The training loop: what happens in a step, at a log step, at the end of an epoch. It has no maths in it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NoReturn

import torch

from pipelines.batch import MultiCropBatch
from swav_dali.config.saved import flatten
from swav_dali.errors import DivergenceError, Stopped
from swav_dali.evaluate.probe import KnnProbe
from swav_dali.method.step import StepResult, train_step
from swav_dali.ranks.ddp import share_buffers
from swav_dali.run.parts import Run
from swav_dali.run.random_state import RandomState
from swav_dali.watch.headspace import cached, measure_headspace
from swav_dali.watch.health import all_finite
from swav_dali.watch.record import Local
from swav_dali.watch.sinks.base import Event

_GC_STEPS = 100
"""DALI leaves some 3 KiB of cycles a step. A collection looks at what is new since the start only, and all ranks pay
for it on the same step."""

_COUNTED_IMAGES = 2
"""Arithmetic is counted on so few images: a whole batch in float32 may not fit where a step in parts does."""


def fit(run: Run) -> None:
    """Train until the plan's last step; every rank calls it."""
    with _collecting_by_hand():
        if run.services.probe is not None:  # before the loop, so that a request to leave is answered at once
            _measure_floors(run, run.services.probe)
        with run.leaving.loop(run.clock.step), contextlib.closing(run.writer):
            if run.clock.probe_is_due:
                _end_epoch(run)
            while run.clock.step < run.plan.total_steps:
                _train_epoch(run)
                _end_epoch(run)
            run.writer.finish()
    run.services.refuse_changed_shards(at_the_end=True)


def _train_epoch(run: Run) -> None:
    watch, loader = run.services.watch, run.services.loader
    watch.begin_epoch()
    for batch in watch.waits(loader):
        if watch.wants_headspace:
            _measure_headspace(run, batch)
        if run.services.pictures is not None and run.services.pictures.crops_are_due:
            run.services.pictures.crops(batch, watch, step=run.clock.step)
        result = _watched_step(run, batch)
        run.clock.step += 1
        watch.step(result, images=loader.batch_size, replaced=batch.replaced, step=run.clock.step)
        run.services.refuse_changed_shards()
        run.writer.poll()
        is_leaving = run.leaving.is_due(run.clock.step) and run.clock.step < run.plan.total_steps
        if run.plan.log_is_due(run.clock.step) or is_leaving:
            _log(run)
        if run.plan.step_checkpoint_is_due(run.clock.step) or is_leaving:
            _save(run)
        if is_leaving:
            _leave(run)
        if run.clock.step % _GC_STEPS == 0:
            gc.collect()


def _watched_step(run: Run, batch: MultiCropBatch) -> StepResult:
    """A step; one that ends in a record is also looked at for how far it moves the weights."""
    updates, is_logged = run.services.watch.updates, run.plan.log_is_due(run.clock.step + 1)
    if is_logged:
        updates.before(run.parts.model.parameters())
    result = _step(run, batch)
    if is_logged:
        updates.after(run.parts.model.parameters())
    return result


def _step(run: Run, batch: MultiCropBatch) -> StepResult:
    parts, step = run.parts, run.clock.step
    return train_step(
        parts.net,
        batch.groups,
        model=parts.model,
        optimizer=parts.optimizer,
        queue=parts.queue if run.plan.queue_has_started(step) else None,
        learning_rate=run.plan.learning_rates[step],
        freeze_prototypes=run.plan.prototypes_are_frozen(step),
        swav=run.config.swav,
        autocast_dtype=parts.autocast_dtype,
        micro_batches=run.config.optim.micro_batches,
        loss_scale=parts.loss_scale,
        timed=run.services.watch.spans,
    )


def _measure_headspace(run: Run, batch: MultiCropBatch) -> None:
    """Step on copies of the batch that has just come, and put everything back as it was."""
    parts, watch, dtype = run.parts, run.services.watch, run.parts.autocast_dtype

    def forward() -> None:
        with torch.autocast(run.world.device.type, dtype=dtype, enabled=dtype is not None):  # pixels may have 16 bits
            parts.model([group[:_COUNTED_IMAGES] for group in batch.groups])

    with watch.paused():
        headspace = measure_headspace(
            partial(_step, run),
            [replace(batch, groups=groups) for groups in cached(batch.groups)],
            forward=forward,
            images=run.services.loader.batch_size,
            forward_images=min(_COUNTED_IMAGES, run.services.loader.batch_size),
            world=run.world,
            changes={**parts.shared(), **parts.per_rank(), "random": RandomState(run.world.device)},
            spans=watch.spans,
        )
    watch.keep_headspace(headspace, run.clock.step)


def _end_epoch(run: Run) -> None:
    probe, watch, pictures = run.services.probe, run.services.watch, run.services.pictures
    if probe is not None and run.plan.knn_is_due(run.epoch):
        share_buffers(run.parts.model)
        top1 = probe.measure(partial(_features, run), before_meeting=partial(_leave_probe, run))
        watch.record({**_place(run), "knn_top1": top1, **probe.floors})
        if pictures is not None:
            pictures.prototypes(run.parts.model, probe, watch, step=run.clock.step, epoch=run.epoch)
    run.clock.probe_is_due = False
    if run.plan.epoch_checkpoint_is_due(run.epoch):
        _save(run)


def _features(run: Run, images: torch.Tensor) -> torch.Tensor:
    """What a probe asks for; a request to leave does not wait for its end."""
    if run.leaving.asked_by:
        _leave_probe(run)
    return run.parts.model.features(images)


def _leave_probe(run: Run) -> None:
    """Leave, if that is due, and measure the probe after the next start."""
    if run.clock.step < run.plan.total_steps and run.leaving.is_due_in_probe(run.clock.step):
        run.clock.probe_is_due = True
        _save(run)
        _leave(run)


def _leave(run: Run) -> NoReturn:
    run.writer.finish()
    text = f"{run.leaving.asked_by}: the run leaves after step {run.clock.step}, start it again to continue"
    run.services.watch.event(Event("stop", run.clock.step, text))
    raise Stopped(text, is_shared=True)


def _measure_floors(run: Run, probe: KnnProbe) -> None:
    if not probe.floors:
        probe.measure_floors(run.parts.model.features if run.clock.step == 0 else None)
        start = {"knn_top1": probe.floors["knn_untrained"]} if run.clock.step == 0 else {}
        run.services.watch.record({**_place(run), **start, **probe.floors})


def _log(run: Run) -> None:
    watch = run.services.watch
    window = watch.close_window()
    run.clock.seconds += window.seconds
    with watch.spans.host("log"):
        gauges = watch.health.figures(run.parts.model.prototypes.weight)
        figures = {**_place(run), **_settings(run), **_left(run, window.seconds_per_step), **gauges}
        watch.log(window, step=run.clock.step, figures=figures)


def _save(run: Run) -> None:
    run.services.guard.check()
    if not all_finite(run.parts.model.parameters()):
        raise DivergenceError("the weights are not finite, so no checkpoint is written", where=f"step {run.clock.step}")
    with run.services.watch.paused(), run.services.watch.spans.host("checkpoint"):
        run.writer.begin(
            step=run.clock.step,
            epoch=run.epoch,
            shared=run.shared(),
            per_rank=run.per_rank(),
            config=flatten(run.config),
            versions=run.versions,
        )


def _place(run: Run) -> Local:
    done, rest = divmod(run.clock.step, run.plan.steps_per_epoch)
    return {
        "step": run.clock.step,
        "epoch": done + (rest > 0),
        "images_seen": run.clock.step * run.services.loader.batch_size * run.world.size,
        "seconds": round(run.clock.seconds, 3),
    }


def _left(run: Run, seconds_per_step: float) -> Local:
    steps = run.plan.steps_per_epoch
    return {
        "epoch_seconds_left": seconds_per_step * (-run.clock.step % steps),
        "seconds_left": seconds_per_step * (run.plan.total_steps - run.clock.step),
    }


def _settings(run: Run) -> Local:
    queue, scale = run.parts.queue, run.parts.loss_scale
    of_scale = {} if scale is None else {"loss_scale": scale.value, "steps_overflowed": scale.overflowed}
    return {
        **of_scale,
        "ln_k": run.parts.model.ln_num_prototypes,
        "lr": run.plan.learning_rates[run.clock.step - 1],
        "queue_in_use": int(queue is not None and queue.is_full),
        "queue_fill": 0.0 if queue is None else queue.num_filled / queue.rows.shape[1],
        "queue_age_steps": 0 if queue is None else queue.num_filled // run.services.loader.batch_size,
    }


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
