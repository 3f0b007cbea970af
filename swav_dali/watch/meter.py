"""Sums of a run's figures that stay on the device until a record is due.

One stacked copy to the host, and with several ranks one all-reduce, per record.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from swav_dali.errors import TrainingError
from swav_dali.ranks.world import World, sum_over_ranks


class Meter:
    """Loss since the last record, and the clock of the loop."""

    def __init__(self, world: World) -> None:
        """Start counting now."""
        self._world = world
        self._replaced = 0
        self.reset()

    def reset(self) -> None:
        """Begin a new window."""
        self._loss: Tensor | None = None
        self._steps = 0
        self._images = 0
        self.seconds_waited = 0.0
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

    def read(self, step: int, gauges: dict[str, Tensor]) -> dict[str, float]:
        """The window's mean loss, rates and `gauges` averaged over the ranks; starts the next window.

        `samples_replaced` counts from the start of the process.

        Raises:
            TrainingError: the loss of some step of the window is not finite, on every rank alike.
        """
        assert self._loss is not None, "read() before the first update()"
        replaced = self._loss.new_tensor(self._replaced * self._world.size)
        parts = [self._loss / self._steps, replaced, *(gauge.to(self._loss.dtype) for gauge in gauges.values())]
        loss, replaced_in_all, *values = (sum_over_ranks(torch.stack(parts)) / self._world.size).tolist()
        if not abs(loss) < float("inf"):
            raise TrainingError(
                "the loss is not finite",
                where=f"steps {step - self._steps + 1} to {step}",
                found=loss,
                fix="lower --optim.base-lr or raise --swav.epsilon; the newest checkpoint is sound",
            )
        seconds = time.perf_counter() - self._began
        figures = {
            "window_seconds": seconds,
            "loss": loss,
            "images_per_second": self._images * self._world.size / seconds,
            "data_wait_share": self.seconds_waited / seconds,
            "seconds_per_step": seconds / self._steps,
            "samples_replaced": round(replaced_in_all),
            **dict(zip(gauges, values, strict=True)),
        }
        self.reset()
        return figures
