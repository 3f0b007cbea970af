"""Sums of a run's figures that stay on the device until a record is due."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from swav_dali.watch.record import Local
from swav_dali.watch.skipped import SOUND


@dataclass(frozen=True, slots=True)
class Window:
    """The time between two records.

    Attributes:
        steps: steps done in it.
        seconds: its length without pauses.
        images: this rank's images in it.
        figures: this rank's loss and rates.
        first_skipped: number within the window, from 0, and culprit of the first step without effect, int64 (2,) on
            the device; the culprit is negative where there is none.
    """

    steps: int
    seconds: float
    images: int
    figures: Local
    first_skipped: Tensor

    @property
    def seconds_per_step(self) -> float:
        """Mean over the window."""
        return self.seconds / self.steps


class Meter:
    """This rank's loss and images since the last record, and the clock of the loop."""

    def __init__(self) -> None:
        """Start counting now."""
        self._replaced = 0
        self._skipped: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new window."""
        self._counted: Tensor | None = None
        self._first_skipped: Tensor | None = None
        self._steps = 0
        self._images = 0
        self._began = time.perf_counter()

    def update(self, loss: Tensor, images: int, *, culprit: Tensor, replaced: int = 0) -> None:
        """Count one step.

        Args:
            loss: this rank's mean, a scalar on the device.
            images: of this rank.
            culprit: what left the step without effect, an int64 scalar on the device, SOUND for a sound step and
                OVERFLOW for one that is neither sound nor to be counted; see swav_dali.method.sound.
            replaced: images that others stood in for.
        """
        is_sound = culprit == SOUND
        counted = torch.stack([torch.where(is_sound, loss, 0.0), is_sound.to(loss.dtype)])
        here = torch.stack([torch.full_like(culprit, self._steps), culprit])
        if self._counted is None or self._first_skipped is None:
            self._counted, self._first_skipped = counted, here
        else:
            self._counted = self._counted + counted
            self._first_skipped = torch.where(self._first_skipped[1] < 0, here, self._first_skipped)
        skipped = (culprit >= 0).long()
        self._skipped = skipped if self._skipped is None else self._skipped + skipped
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
        """End the window and begin the next.

        `samples_replaced` and `steps_skipped` count from the start of the process; the loss is of the other steps.
        """
        assert self._counted is not None, "close() before the first update()"
        assert self._first_skipped is not None
        assert self._skipped is not None
        seconds, steps, images = time.perf_counter() - self._began, self._steps, self._images
        figures: Local = {
            "loss": self._counted[0] / self._counted[1],
            "images_per_second": images / seconds,
            "seconds_per_step": seconds / steps,
            "samples_replaced": self._replaced,
            "steps_skipped": self._skipped,
        }
        window = Window(steps, seconds, images, figures, self._first_skipped)
        self.reset()
        return window
