"""The learning rate of every step, as a table: linear warm-up, then half a cosine."""

from __future__ import annotations

import numpy as np

from swav_dali.errors import ConfigError


def learning_rates(
    *, steps_per_epoch: int, epochs: int, warmup_epochs: float, start_lr: float, base_lr: float, final_lr: float
) -> list[float]:
    """Rates of steps 0 to steps_per_epoch x epochs - 1.

    The warm-up runs from `start_lr` to `base_lr`, both included; the cosine starts at `base_lr` again and
    approaches `final_lr` without reaching it, as in the reference.

    Raises:
        ConfigError: the warm-up is longer than the training.
    """
    if warmup_epochs > epochs:
        raise ConfigError(
            "the warm-up is longer than the training",
            where="--optim.warmup-epochs",
            found=warmup_epochs,
            expected=f"at most --optim.epochs {epochs}",
        )
    num_warmup = round(steps_per_epoch * warmup_epochs)
    warmup = np.linspace(start_lr, base_lr, num_warmup)
    num_cosine = steps_per_epoch * epochs - num_warmup
    cosine = np.cos(np.pi * np.arange(num_cosine) / max(num_cosine, 1))
    rates: list[float] = [*warmup.tolist(), *(final_lr + 0.5 * (base_lr - final_lr) * (1 + cosine)).tolist()]
    return rates
