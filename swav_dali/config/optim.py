"""The optimizer's choices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipelines.tags import Expert, Free, MayGrow
from swav_dali.config.checks import at_least, not_negative, positive
from swav_dali.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """The optimizer and the learning-rate table; the rate is not scaled by the batch."""

    optimizer: Literal["larc", "lars", "adamw"] = "larc"
    """`larc` is SGD whose step is a share of each tensor's norm, `lars` the same but plain SGD without decay for biases
    and norms, `adamw` Adam with decoupled decay, for transformers (--optim.base-lr about 0.0005)."""
    epochs: MayGrow[int] = 100
    """Length of the training, in passes over the pictures."""
    steps_per_epoch: Expert[int] = 0
    """Steps that make an epoch, where a pass over the pictures takes days: length, checkpoints, probes, warm-up and
    queue count in these, the pictures still come once in every pass; 0 is a pass."""
    base_lr: float = 4.8
    """Learning rate at the end of the warm-up; the reference pairs 4.8 with 4096 images a step, 0.6 with 256."""
    final_lr: float = 0.0048
    """Learning rate the cosine approaches."""
    warmup_epochs: float = 10
    """Epochs of linear warm-up; a preset's takes at most half of a shorter run."""
    start_lr: float = 0.3
    """Learning rate of the first step of the warm-up."""
    momentum: Expert[float] = 0.9
    """SGD momentum; AdamW's first beta."""
    beta2: Expert[float] = 0.999
    """AdamW's second beta."""
    weight_decay: float = 1e-6
    """Weight decay, with LARC on every parameter as in the reference, else not on biases and norms."""
    trust_coefficient: Expert[float] = 0.001
    """LARC's share of the weight norm that one step may move."""
    micro_batches: Expert[int] = 1
    """Parts of a rank's batch that go through the network one after the other: the memory of one part, a third more
    arithmetic, the same codes and steps; BatchNorm sees a part at a time."""
    loss_scale: Expert[float] = 65536.0
    """With --precision float16, the first factor on the loss, a power of two. It halves after a step that overflowed,
    which is left out while the learning rate goes on, and doubles after 2000 others."""
    max_skipped_steps: Free[Expert[int]] = 0
    """Steps that may be left out because their loss or a gradient was not finite, since the start or resume; one more
    ends the training. Weights and queue are sound either way. Steps that overflow in float16 count once the loss scale
    is down to 1."""

    def __post_init__(self) -> None:
        """Refuse a warm-up that never ends, which the reference accepts in silence."""
        at_least("--optim.epochs", self.epochs, 1)
        at_least("--optim.steps-per-epoch", self.steps_per_epoch, 0)
        positive("--optim.base-lr", self.base_lr)
        positive("--optim.trust-coefficient", self.trust_coefficient)
        at_least("--optim.max-skipped-steps", self.max_skipped_steps, 0)
        at_least("--optim.micro-batches", self.micro_batches, 1)
        if self.loss_scale < 1 or math.frexp(self.loss_scale)[0] != 0.5:  # NaN and infinity too
            expected = "a power of two, 1 or more"
            raise ConfigError("loses bits", where="--optim.loss-scale", found=self.loss_scale, expected=expected)
        for name in ("final_lr", "start_lr", "weight_decay", "momentum", "beta2"):
            not_negative(f"--optim.{name.replace('_', '-')}", getattr(self, name))
        for name, value in (("momentum", self.momentum), ("beta2", self.beta2)):
            if value >= 1:
                raise ConfigError("never forgets", where=f"--optim.{name}", found=value, expected="below 1")
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise ConfigError(
                "warm-up does not fit the training",
                where="--optim.warmup-epochs",
                found=self.warmup_epochs,
                expected=f"0 to --optim.epochs {self.epochs}",
            )
