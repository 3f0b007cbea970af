"""When steps without effect, because something in them was not finite, end a training, and what is said then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from swav_dali.errors import DivergenceError

SOUND = -1
"""The culprit of a step with effect, as in swav_dali.method.sound; that of one to be counted is 0 or more."""


@dataclass(frozen=True, slots=True)
class SkippedSteps:
    """What a training puts up with.

    Attributes:
        allowed: steps without effect since the start of the process.
        tensor_names: of the indices that a culprit may have.
    """

    allowed: int
    tensor_names: Sequence[str]

    def judge(
        self,
        *,
        total: int,
        losses: Sequence[float],
        first: Sequence[tuple[float, float]],
        step: int,
        steps: int,
    ) -> None:
        """Raise DivergenceError, alike on every rank, after too many steps without effect or without any other step.

        Steps that overflowed in float16 are neither: a window of them has no loss and no culprit.

        Args:
            total: steps without effect since the start of the process.
            losses: mean loss of the window's other steps by rank.
            first: by rank, number within the window and culprit of its first step without effect.
            step: the window's last step.
            steps: length of the window.
        """
        bad = [(int(index), rank, int(culprit)) for rank, (index, culprit) in enumerate(first) if culprit >= 0]
        if total <= self.allowed and (not bad or all(map(math.isfinite, losses))):
            return
        where = f"steps {step - steps + 1} to {step}"
        if bad:
            index, rank, culprit = min(bad, key=lambda entry: (entry[0], entry[2]))
            where += f", first step {step - steps + 1 + index}, rank {rank}, {self.tensor_names[culprit]}"
        raise DivergenceError(
            "a loss or gradient that is not finite; such steps changed nothing",
            where=where,
            found=f"{total} step(s), mean loss of the others {losses[0]}",
            expected=f"at most --optim.max-skipped-steps {self.allowed}, and others between them",
        )
