"""Epochs turned into steps, once: what the loop needs to know about time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from swav_dali.config.sections import CheckpointConfig, KnnConfig, OptimConfig, SwavConfig
from swav_dali.method.schedule import learning_rates


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainPlan:
    """When things are due, in steps done (1 = after the first step)."""

    steps_per_epoch: int
    epochs: int
    learning_rates: list[float]
    freeze_prototypes_steps: int
    queue_start_step: int
    log_every_steps: int
    checkpoint_every_steps: int
    checkpoint_every_epochs: int
    knn_every_epochs: int
    keep_every_epochs: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    def log_is_due(self, step: int) -> bool:
        """After every interval, after the last step of an epoch, and before a checkpoint, which ends a window."""
        is_regular = step % self.log_every_steps == 0 or step % self.steps_per_epoch == 0
        return is_regular or self.step_checkpoint_is_due(step)

    def step_checkpoint_is_due(self, step: int) -> bool:
        """Inside an epoch; the end of an epoch has a rule of its own."""
        every = self.checkpoint_every_steps
        return every > 0 and step % every == 0 and step % self.steps_per_epoch != 0

    def epoch_checkpoint_is_due(self, epoch: int) -> bool:
        """After `epoch` epochs."""
        return epoch == self.epochs or epoch % self.checkpoint_every_epochs == 0

    def knn_is_due(self, epoch: int) -> bool:
        """After `epoch` epochs."""
        return epoch == self.epochs or epoch % self.knn_every_epochs == 0

    def checkpoint_is_permanent(self, step: int) -> bool:
        """Whether the checkpoint after `step` steps is never pruned."""
        epoch, rest = divmod(step, self.steps_per_epoch)
        return rest == 0 and self.keep_every_epochs > 0 and epoch % self.keep_every_epochs == 0


def make_plan(
    *,
    steps_per_epoch: int,
    optim: OptimConfig,
    swav: SwavConfig,
    checkpoint: CheckpointConfig,
    knn: KnnConfig,
    log_every_steps: int,
) -> TrainPlan:
    """The plan of a run whose epoch has `steps_per_epoch` steps on every rank."""
    return TrainPlan(
        steps_per_epoch=steps_per_epoch,
        epochs=optim.epochs,
        learning_rates=learning_rates(
            steps_per_epoch=steps_per_epoch,
            epochs=optim.epochs,
            warmup_epochs=optim.warmup_epochs,
            start_lr=optim.start_lr,
            base_lr=optim.base_lr,
            final_lr=optim.final_lr,
        ),
        freeze_prototypes_steps=swav.freeze_prototypes_steps,
        queue_start_step=math.ceil(swav.queue_start_epoch * steps_per_epoch),
        log_every_steps=log_every_steps,
        checkpoint_every_steps=checkpoint.every_steps,
        checkpoint_every_epochs=checkpoint.every_epochs,
        knn_every_epochs=knn.every_epochs,
        keep_every_epochs=checkpoint.keep_every_epochs,
    )
