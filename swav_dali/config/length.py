"""What follows the length of a run: the warm-up and the steps with frozen prototypes of a preset.

A preset's values are for its own number of epochs. Where they do not fit a shorter run they are shortened and it is
said; what the command line gives stays, and is refused or warned of.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from swav_dali.config.sections import RunConfig

WARMUP, FROZEN = "optim.warmup_epochs", "swav.freeze_prototypes_steps"
FOLLOWING = (WARMUP, FROZEN)
"""On resume they keep the value that the run began with, unless the command line gives them."""
_MOST_FROZEN, _SHORT_FROZEN = 1 / 2, 1 / 10


def follow_epochs(preset: RunConfig, epochs: int | None, given: Collection[str]) -> RunConfig:
    """`preset` for `epochs`: a warm-up longer than the run takes half of it."""
    if epochs is None or WARMUP in given or preset.optim.warmup_epochs <= epochs:
        return preset
    return replace(preset, optim=replace(preset.optim, epochs=epochs, warmup_epochs=epochs / 2))


def follow_steps(config: RunConfig, steps: int, given: Collection[str]) -> RunConfig:
    """`config` for a run of `steps`: prototypes that would be frozen for most of it are for a tenth."""
    if FROZEN in given or config.swav.freeze_prototypes_steps <= _MOST_FROZEN * steps:
        return config
    return replace(config, swav=replace(config.swav, freeze_prototypes_steps=round(_SHORT_FROZEN * steps)))


def adopt(config: RunConfig, saved: dict[str, object], given: Collection[str]) -> RunConfig:
    """`config` with what followed the length when the run began."""
    warmup = saved.get(WARMUP) if WARMUP not in given else None
    frozen = saved.get(FROZEN) if FROZEN not in given else None
    if isinstance(warmup, int | float):
        config = replace(config, optim=replace(config.optim, warmup_epochs=warmup))
    if isinstance(frozen, int):
        config = replace(config, swav=replace(config.swav, freeze_prototypes_steps=frozen))
    return config


def notes_on_length(preset: RunConfig, config: RunConfig) -> list[str]:
    """What `follow_epochs` and `follow_steps` have changed."""
    notes = []
    (old_warmup, warmup), (old_frozen, frozen) = (
        (preset.optim.warmup_epochs, config.optim.warmup_epochs),
        (preset.swav.freeze_prototypes_steps, config.swav.freeze_prototypes_steps),
    )
    if warmup < old_warmup:
        notes.append(f"the warm-up takes {warmup:g} epoch(s) instead of {old_warmup:g}: half of this short run")
    if frozen < old_frozen:
        notes.append(f"the prototypes are frozen for {frozen} steps instead of {old_frozen}: a tenth of this short run")
    return notes


def warnings_on_length(config: RunConfig, *, steps_per_epoch: int, num_ranks: int) -> list[str]:
    """What of the method never comes to pass in a run of this length."""
    steps, swav = steps_per_epoch * config.optim.epochs, config.swav
    warnings = []
    if swav.freeze_prototypes_steps >= steps:
        warnings.append(
            f"the prototypes never move: --swav.freeze-prototypes-steps {swav.freeze_prototypes_steps} of {steps} steps"
        )
    if config.optim.warmup_epochs >= config.optim.epochs:
        warnings.append(f"the whole run is warm-up: --optim.warmup-epochs {config.optim.warmup_epochs:g}")
    filled = swav.queue_start_epoch * steps_per_epoch + swav.queue_length / (config.data.batch_size * num_ranks)
    if swav.queue_length and filled >= steps:
        warnings.append(
            f"the queue is never used: it fills from --swav.queue-start-epoch {swav.queue_start_epoch:g} on and would "
            f"be full after step {round(filled)} of {steps}"
        )
    return warnings
