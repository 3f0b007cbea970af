"""Epochs that are counted in steps, for sets so large that a pass over them takes days.

Only the counting changes: batches come in the order and with the bits they would have anyway. A pass over the pictures
is still a permutation of them, and it may end in the middle of such an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.batch import Loader, MultiCropBatch
from pipelines.reading.position import EpochPosition


class VirtualEpochs(EpochPosition):
    """See pipelines.batch.Loader; goes round another loader's passes again and again."""

    def __init__(self, passes: Loader, *, steps: int) -> None:
        """Stand at the beginning of epoch 0, which is the beginning of a pass.

        Args:
            passes: a loader whose epochs are passes over the pictures; closed with this one.
            steps: of an epoch, fewer or more than a pass has.
        """
        super().__init__(steps_per_epoch=steps, batch_size=passes.batch_size)
        self._passes = passes

    def __iter__(self) -> Iterator[MultiCropBatch]:
        """The rest of the current epoch."""
        while self._step < self._steps:
            for batch in self._passes:
                self._step += 1
                yield batch
                if self._step == self._steps:
                    break
        self._epoch, self._step = self._epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """The position, and that in the pass."""
        return {"epoch": self._epoch, "step_in_epoch": self._step, "pass": self._passes.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; raises LoaderStateError when it is of other pictures or another pipeline."""
        self._passes.load_state_dict(state["pass"])
        self._epoch, self._step = int(state["epoch"]), int(state["step_in_epoch"])

    def refuse_other_data(self, state: dict[str, Any]) -> None:
        """Raise LoaderStateError if `state` is of other shards or another graph."""
        self._passes.refuse_other_data(state["pass"])

    def start_epoch(self, epoch: int) -> None:
        """Stand at the beginning of `epoch` and of a new pass, in an order of its own.

        The pass before is left unfinished: ranks of another number have other parts of the set.
        """
        self._passes.start_epoch(epoch)
        self._epoch, self._step = epoch, 0

    def close(self) -> None:
        """Close the other loader."""
        self._passes.close()
