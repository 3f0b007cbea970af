"""Sums of a run's figures that stay on the device until a record is due."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from swav_dali.errors import TrainingError
from swav_dali.watch.record import Local


@dataclass(frozen=True, slots=True)
class Window:
    """The time between two records.

    Attributes:
        steps: steps done in it.
        seconds: its length without pauses.
        figures: this rank's loss and rates.
    """

    steps: int
    seconds: float
    figures: Local

    @property
    def seconds_per_step(self) -> float:
        """Mean over the window."""
        return self.seconds / self.steps


class Meter:
    """This rank's loss and images since the last record, and the clock of the loop."""

    def __init__(self) -> None:
        """Start counting now."""
        self._replaced = 0
        self.reset()

    def reset(self) -> None:
        """Begin a new window."""
        self._loss: Tensor | None = None
        self._steps = 0
        self._images = 0
        self._began = time.perf_counter()

    def update(self, loss: Tensor, images: int, *, replaced: int = 0) -> None:
        """Count one step: its local mean loss, a device scalar, this rank's images and those others stood in for."""
        self._loss = loss.clone() if self._loss is None else self._loss + loss
        self._steps += 1
        self._images += images
        self._replaced += replaced

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keep what happens inside out of the rates."""
        stopped = time.perf_counter()
        yield
        self._began += time.perf_counter() - stopped

    def close(self) -> Window:
        """End the window and begin the next; `samples_replaced` counts from the start of the process."""
        assert self._loss is not None, "close() before the first update()"
        seconds, steps = time.perf_counter() - self._began, self._steps
        figures: Local = {
            "loss": self._loss / steps,
            "images_per_second": self._images / seconds,
            "seconds_per_step": seconds / steps,
            "samples_replaced": self._replaced,
        }
        self.reset()
        return Window(steps, seconds, figures)


def refuse_not_finite(losses: Sequence[float], *, step: int, steps: int) -> None:
    """Raise TrainingError, alike on every rank, when the loss of a step of the last `steps` is not finite on a rank.

    Args:
        losses: mean loss of the window by rank.
        step: the window's last step.
        steps: length of the window.
    """
    ranks = [rank for rank, loss in enumerate(losses) if not math.isfinite(loss)]
    if ranks:
        raise TrainingError(
            "the loss is not finite",
            where=f"steps {step - steps + 1} to {step}" + (f", rank {ranks[0]}" if len(losses) > 1 else ""),
            found=losses[ranks[0]],
            fix="lower --optim.base-lr or raise --swav.epsilon; the newest checkpoint is sound",
        )
