"""A factor on the loss that keeps float16 gradients off both ends of their range, found while the training goes on.

The rules are those of torch.amp.GradScaler, but nothing waits for the device: whether a step overflowed is known to the
device alone, which leaves the step out and halves the factor. The factor is a power of two, so taking it out of the
gradients again costs no bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from swav_dali.method.sound import OVERFLOW, SOUND

FLOOR = 1.0
"""Not below: a loss that is too large as it is will not be mended by a factor."""
_GROWTH, _BACKOFF, _INTERVAL = 2.0, 0.5, 2000


class LossScale:
    """The factor, equal on all ranks, and how many steps it has cost."""

    def __init__(self, device: torch.device, *, start: float) -> None:
        """Begin with `start`, a power of two; it doubles after 2000 sound steps and halves after one that is not."""
        self.value = torch.full((), start, device=device)
        """float32 scalar."""
        self.overflowed = torch.zeros((), dtype=torch.int64, device=device)
        """Steps left out since the run began, over all resumes."""
        self._sound_steps = torch.zeros((), dtype=torch.int32, device=device)

    @torch.no_grad()
    def unscale(self, parameters: Iterable[Tensor]) -> None:
        """Take the factor out of the gradients, in place; an infinite one stays infinite."""
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(grads, self.value.reciprocal())

    @torch.no_grad()
    def judge(self, culprit: Tensor) -> Tensor:
        """The step's `culprit`, or OVERFLOW where a smaller factor may do; then the factor for the next step.

        A factor at its floor leaves the culprit as it is: such a step counts as one without effect.

        Args:
            culprit: see swav_dali.method.sound.culprit.
        """
        is_unsound = culprit != SOUND
        is_overflow = is_unsound & (self.value > FLOOR)
        self.overflowed += is_overflow
        torch._amp_update_scale_(self.value, self._sound_steps, is_unsound.float(), _GROWTH, _BACKOFF, _INTERVAL)
        self.value.clamp_min_(FLOOR)
        return torch.where(is_overflow, OVERFLOW, culprit)

    def state_dict(self) -> dict[str, Any]:
        """The factor, the sound steps since it last changed, and the steps it has cost."""
        return {"value": self.value, "sound_steps": self._sound_steps, "overflowed": self.overflowed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all three over."""
        self.value.copy_(state["value"])
        self._sound_steps.copy_(state["sound_steps"])
        self.overflowed.copy_(state["overflowed"])
