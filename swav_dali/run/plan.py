"""Epochs turned into steps, once: what the loop needs to know about time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from swav_dali.config.log import LogConfig
from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import CheckpointConfig, KnnConfig, SwavConfig
from swav_dali.method.schedule import learning_rates


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """When things are due, in steps done (1 = after the first step), in a run of `steps_per_epoch` on every rank."""

    steps_per_epoch: int
    optim: OptimConfig
    swav: SwavConfig
    checkpoint: CheckpointConfig
    knn: KnnConfig
    log: LogConfig

    @property
    def epochs(self) -> int:
        """Length of the training."""
        return self.optim.epochs

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @cached_property
    def learning_rates(self) -> list[float]:
        """One for every step."""
        return learning_rates(
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.epochs,
            warmup_epochs=self.optim.warmup_epochs,
            start_lr=self.optim.start_lr,
            base_lr=self.optim.base_lr,
            final_lr=self.optim.final_lr,
        )

    @cached_property
    def queue_start_step(self) -> int:
        """Steps done before the queue begins to fill."""
        return math.ceil(self.swav.queue_start_epoch * self.steps_per_epoch)

    def queue_has_started(self, step: int) -> bool:
        """Whether the step after `step` fills the queue."""
        return step >= self.queue_start_step

    def prototypes_are_frozen(self, step: int) -> bool:
        """Whether the step after `step` leaves the prototypes where they are."""
        return step < self.swav.freeze_prototypes_steps

    def log_is_due(self, step: int) -> bool:
        """After every interval, after the last step of an epoch, and before a checkpoint, which ends a window."""
        is_regular = step % self.log.every_steps == 0 or step % self.steps_per_epoch == 0
        return is_regular or self.step_checkpoint_is_due(step)

    def step_checkpoint_is_due(self, step: int) -> bool:
        """Inside an epoch; the end of an epoch has a rule of its own."""
        every = self.checkpoint.every_steps
        return every > 0 and step % every == 0 and step % self.steps_per_epoch != 0

    def epoch_checkpoint_is_due(self, epoch: int) -> bool:
        """After `epoch` epochs."""
        return epoch == self.epochs or epoch % self.checkpoint.every_epochs == 0

    def knn_is_due(self, epoch: int) -> bool:
        """After `epoch` epochs."""
        return epoch == self.epochs or epoch % self.knn.every_epochs == 0

    def checkpoint_is_permanent(self, step: int) -> bool:
        """Whether the checkpoint after `step` steps is never pruned."""
        epoch, rest = divmod(step, self.steps_per_epoch)
        every = self.checkpoint.keep_every_epochs
        return rest == 0 and every > 0 and epoch % every == 0
