"""What a loader yields and what every loader can do. The trainer knows only this page.

A crop group is all crops of one size: the reference's 2x224 + 6x96 is two groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class MultiCropBatch:
    """One step's crops of `batch` images.

    Attributes:
        groups: one tensor per crop group, image-major, (batch, crops, 3, size, size), normalized, on the
            device; the three trailing dimensions may lie in memory as channels_last.
        labels: int64 (batch,) on the CPU; -1 where the shards carry no labels. The loss never sees them.
        sample_ids: int64 (batch,) on the CPU; the sample's number in its shard set.
        replaced: tar, member and offset of pictures that could not be decoded; another of the batch stands in.
    """

    groups: tuple[Tensor, ...]
    labels: Tensor
    sample_ids: Tensor
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Undistorted images for evaluation: resized, centre-cropped, normalized.

    Attributes:
        images: (batch, 3, size, size) on the device.
        labels: int64 (batch,) on the CPU, -1 where unlabelled.
        sample_ids: int64 (batch,) on the CPU.
    """

    images: Tensor
    labels: Tensor
    sample_ids: Tensor


class Loader(Protocol):
    """An endless source of epochs, each `steps_per_epoch` batches, equal on every rank.

    `iter()` continues the current epoch from where it stands, so that after `load_state_dict` the first
    batch is the one that would have come next; when it is exhausted `epoch` has advanced by one.
    """

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def batch_size(self) -> int:
        """Images per step on this rank."""
        ...

    @property
    def epoch(self) -> int: ...

    @property
    def step_in_epoch(self) -> int:
        """Batches of the current epoch already yielded."""
        ...

    def __iter__(self) -> Iterator[MultiCropBatch]: ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that makes the next batch the same bits: picklable, one per rank."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; raises LoaderStateError naming each key that differs, its old and new value."""
        ...

    def refuse_other_data(self, state: dict[str, Any]) -> None:
        """Raise LoaderStateError if `state`, of any rank of any world, is of other shards or another graph."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Stand at the beginning of `epoch`, with an order that depends on the seed and the epoch only."""
        ...

    def close(self) -> None:
        """Release threads and device memory; safe to call twice."""
        ...
