"""A run told before it starts: how long it is, what it takes, what the rules would choose and what is known to fail."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from pipelines.reading.steps import steps_per_epoch
from swav_dali.config.asked import Asked
from swav_dali.config.length import follow_steps, warnings_on_length
from swav_dali.config.rules import RULES, Setting, warnings_on_choices
from swav_dali.config.saved import flag, flatten
from swav_dali.config.sections import RunConfig
from swav_dali.ranks.ddp import ranks_of_a_norm
from swav_dali.run.memory import Footprint, footprint

_GB = 1e9
_COLUMN = 17
_IN_EPOCHS = ("optim.warmup_epochs", "swav.queue_start_epoch")


def forecast(config: RunConfig, asked: Asked, *, given: Collection[str] = ()) -> str:
    """The page that `train.py plan` prints.

    Args:
        config: of the run.
        asked: what else is known.
        given: dotted keys that a person set; see swav_dali.config.length.

    Raises:
        PipelineError: the set is smaller than one global batch.
        ConfigError: a network, a queue or groups of ranks that cannot be made.
    """
    batch = config.data.batch_size * asked.num_ranks
    a_pass = steps_per_epoch(num_samples=asked.images, world_size=asked.num_ranks, batch_size=config.data.batch_size)
    steps = config.optim.steps_per_epoch or a_pass
    ranks_of_a_norm(config.model.sync_bn, num_ranks=asked.num_ranks, ranks_per_node=1)
    config = follow_steps(config, steps * config.optim.epochs, given)
    precision = _precision(config)
    dtype = None if precision == "float32" else getattr(torch, precision)
    memory = footprint(config, num_ranks=asked.num_ranks, dtype=dtype)
    lines = [
        f"{config.name}: {asked.images} images ({asked.pictures}), {asked.num_ranks} rank(s) x "
        f"{config.data.batch_size} = {batch} images a step",
        _row("steps", f"{steps} an epoch, {steps * config.optim.epochs} in all{_pass(asked.images, batch, steps)}"),
        _row("time", _time(steps * batch, config.optim.epochs, asked.images_per_second)),
        _row("memory", _memory(memory, config, precision)),
        _row("", "an estimate: workspaces of libraries, fragmentation and the loader's buffers come on top"),
        _row("disk", _disk(memory, config, asked.num_ranks)),
        "",
        *_beside_the_rules(config, asked, batch, passes=steps / a_pass),
        "",
        *_warnings(config, asked, steps),
    ]
    return "\n".join(lines)


def _row(name: str, text: str) -> str:
    return f"  {name:<{_COLUMN}}{text}"


def _pass(images: int, batch: int, steps: int) -> str:
    """What a pass over the pictures has to do with an epoch of so many steps."""
    left_out = f"{images % batch} images are left out of every"
    if images // batch != steps:
        return f"; {steps * batch / images:.3g} passes over the pictures an epoch, {left_out} pass"
    return f"; {left_out} epoch" if images % batch else ""


def _time(images: int, epochs: int, speed: float | None) -> str:
    if speed is None:
        return "say how fast: --images-per-second X, over all ranks"
    return (
        f"{images / speed / 3600:.2f} h an epoch, {images * epochs / speed / 3600:.1f} h in all at {speed:g} images/s"
    )


def _precision(config: RunConfig) -> str:
    """What a run on a GPU would have, unless it is to be on CPUs."""
    if config.device == "cpu":
        return "float32"
    return "bfloat16" if config.precision == "auto" else config.precision


def _memory(memory: Footprint, config: RunConfig, precision: str) -> str:
    images = config.data.batch_size // config.optim.micro_batches
    rest = memory.total - memory.kept
    return (
        f"{memory.total / _GB:.2f} GB a rank: {rest / _GB:.2f} for {memory.parameters / 1e6:.1f} M parameters, "
        f"gradients, optimizer and queue, {memory.kept / _GB:.2f} kept of {images} images for backward in {precision}"
    )


def _disk(memory: Footprint, config: RunConfig, num_ranks: int) -> str:
    """Checkpoints hold weights, optimizer and queue; the ends of some epochs are kept for good."""
    checkpoint = memory.weights + memory.optimizer + memory.queue * num_ranks
    every, epochs = config.checkpoint.keep_every_epochs, config.optim.epochs
    kept = config.checkpoint.keep + (epochs // every if every else 0)
    return f"{checkpoint / _GB:.2f} GB a checkpoint, at most {kept} of them kept: {checkpoint * kept / _GB:.1f} GB"


def _beside_the_rules(config: RunConfig, asked: Asked, batch: int, *, passes: float) -> Iterator[str]:
    """The rules count in passes over the pictures, of which an epoch has `passes`."""
    setting = Setting(
        batch=batch,
        images=asked.images,
        epochs=config.optim.epochs * passes,
        classes=asked.classes,
        prototypes=max(config.model.heads),
        optimizer=config.optim.optimizer,
    )
    chosen = flatten(config)
    yield f"  {'':<32}{'chosen':>10}{'by rule':>10}  the rule"
    for rule in RULES:
        value = rule.value(setting) / (passes if rule.key in _IN_EPOCHS else 1)
        yield f"  {flag(rule.key):<32}{_shown(chosen[rule.key]):>10}{value:>10.4g}  {rule.why}"


def _shown(value: float | list[int]) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:.4g}"


def _warnings(config: RunConfig, asked: Asked, steps: int) -> list[str]:
    found = [
        *warnings_on_choices(config, images=asked.images, num_ranks=asked.num_ranks),
        *warnings_on_length(config, steps_per_epoch=steps, num_ranks=asked.num_ranks),
    ]
    return [f"  warning: {text}" for text in found] or ["  nothing here is known to fail"]
