"""Where a loader stands: the epoch, the batches of it already yielded, and how many there are."""

from __future__ import annotations


class EpochPosition:
    """The part of pipelines.batch.Loader that every loader has alike."""

    def __init__(self, *, steps_per_epoch: int, batch_size: int) -> None:
        """Stand at the beginning of epoch 0; `batch_size` counts the images per step on this rank."""
        self._steps, self._batch_size = steps_per_epoch, batch_size
        self._epoch = self._step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch, on every rank."""
        return self._steps

    @property
    def batch_size(self) -> int:
        """Images per step on this rank."""
        return self._batch_size

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._epoch

    @property
    def step_in_epoch(self) -> int:
        """Batches of that epoch already yielded."""
        return self._step
