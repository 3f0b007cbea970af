"""Faults of learning: rates, weights that cannot move, numbers that are not finite, a queue of stale embeddings."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from tests.drill.hooks import at_step
from tests.drill.stable import Hook, Place
from tests.faults.kinds import kind
from tests.faults.trial import Told, Trial

EVERY = 10
EPOCH = 18
"""Steps of an epoch of the 600 pictures."""
LEARNING = {
    "data__batch_size": "32",
    "data__crops": "2x32@0.3-1+2x16@0.08-0.3",
    "model__hidden_dim": "64",
    "model__embedding_dim": "32",
    "model__num_prototypes": "32",
    "swav__epsilon": "0.02",
    "swav__queue_length": "0",
    "swav__freeze_prototypes_steps": "10",
    "optim__optimizer": "adamw",
    "optim__base_lr": "3e-3",
    "optim__final_lr": "1e-5",
    "optim__start_lr": "1e-3",
    "optim__warmup_epochs": "1",
    "optim__epochs": "20",
    "checkpoint__every_epochs": "20",
}


def run(trial: Trial, *, steps: int, onset: int = 0, hook: Hook | None = None, **changes: str) -> Told:
    """Learn from 600 drawn pictures."""
    options = {**LEARNING, "data__train": str(trial.work / "demo" / "validation"), **changes}
    hooks = [] if hook is None else [hook]
    return trial.go(options, steps=steps, onset=onset, every=EVERY, hooks=hooks)


@kind("none, while it learns", windows=0)
def clean(trial: Trial) -> Told:
    return run(trial, steps=120)


@kind("learning rate times 50", "collapse", windows=12)
def rate(trial: Trial) -> Told:
    return run(trial, steps=90, optim__base_lr="0.15", optim__start_lr="0.05")


@kind("frozen trunk", "stuck at ln K", windows=26)
def frozen(trial: Trial) -> Told:
    def hook(_: Place) -> None:
        import swav_dali.run.make as make

        real = make.made_net

        def made_net(config: Any) -> Any:
            model = real(config)
            model.trunk.requires_grad_(requires_grad=False)
            return model

        make.made_net = made_net

    return run(trial, steps=270, hook=hook)


@kind("a loss that is not finite", "not finite")
def not_finite(trial: Trial) -> Told:
    onset = 6 * EVERY
    factors = list[float]()

    def hook(place: Place) -> None:
        import swav_dali.method.forward as forward

        real = forward.loss_of_heads

        def loss_of_heads(*args: Any) -> Tensor:
            return real(*args) * (factors.pop() if factors else 1.0)

        at_step(onset + 2, lambda: factors.append(math.nan))(place)
        forward.loss_of_heads = loss_of_heads

    steps = onset + 2 * EVERY
    return run(trial, steps=steps, onset=onset, hook=hook, optim__max_skipped_steps="5")


@kind("queue too early", "queue started too early", windows=6)
def queue(trial: Trial) -> Told:
    """It comes into use while the loss is still at ln K."""
    start = 3
    options = {"swav__queue_length": "128", "swav__queue_start_epoch": str(start)}
    return run(trial, steps=120, onset=start * EPOCH + 4, **options)
