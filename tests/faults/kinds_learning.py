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
EPOCH = 37
"""Steps of an epoch of the 600 pictures."""
LEARNING = {
    "data__batch_size": "16",
    "data__crops": "2x32@0.3-1+2x16@0.08-0.3",
    "model__hidden_dim": "64",
    "model__embedding_dim": "32",
    "model__num_prototypes": "32",
    "swav__epsilon": "0.02",
    "swav__queue_length": "0",
    "swav__freeze_prototypes_steps": "10",
    "optim__optimizer": "larc",
    "optim__base_lr": "1.5",
    "optim__start_lr": "0.3",
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


@kind("none, with a queue", windows=0)
def clean_queue(trial: Trial) -> Told:
    queue = {"swav__queue_length": "128", "swav__queue_start_epoch": "3"}
    return run(trial, steps=120, **queue)


@kind("learning rate times 50", "collapse", windows=12)
def rate(trial: Trial) -> Told:
    return run(trial, steps=90, optim__base_lr="75", optim__start_lr="15")


@kind("frozen trunk", "stuck at ln K", windows=30)
def frozen(trial: Trial) -> Told:
    def hook(_: Place) -> None:
        import swav_dali.run.make as make

        real = make.made_net

        def made_net(config: Any) -> Any:
            model = real(config)
            model.trunk.requires_grad_(requires_grad=False)
            return model

        make.made_net = made_net

    return run(trial, steps=300, hook=hook)


@kind("a loss that is not finite", "not finite")
def not_finite(trial: Trial) -> Told:
    onset = 6 * EVERY
    factors = list[float]()

    def hook(place: Place) -> None:
        import swav_dali.method.forward as forward

        real = forward.swapped_loss

        def swapped_loss(scores: Tensor, *rest: Any) -> Tensor:
            return real(scores, *rest) * (factors.pop() if factors else 1.0)

        at_step(onset + 2, lambda: factors.append(math.nan))(place)
        forward.swapped_loss = swapped_loss

    return run(trial, steps=onset + 2 * EVERY, onset=onset, hook=hook)


@kind("queue too early", "queue started too early", windows=4)
def queue(trial: Trial) -> Told:
    queue = {"swav__queue_length": "512", "swav__queue_start_epoch": "0.05"}
    return run(trial, steps=90, onset=EPOCH, **queue)
