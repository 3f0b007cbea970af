"""Made-up batches with the interface of the real loader: what a model can do when data costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from pipelines.batch import MultiCropBatch
from pipelines.config import CropGroup
from pipelines.errors import LoaderStateError
from pipelines.reading.position import EpochPosition
from pipelines.reading.seeds import stream_seeds
from pipelines.reading.steps import steps_per_epoch


class SyntheticLoader(EpochPosition):
    """One noise batch, made once on the device and yielded again and again; see pipelines.batch.Loader."""

    def __init__(
        self,
        *,
        crops: tuple[CropGroup, ...],
        batch_size: int,
        num_images: int,
        rank: int,
        world_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Stand at the beginning of epoch 0 of `num_images` images; raises PipelineError below one global batch."""
        steps = steps_per_epoch(num_samples=num_images, world_size=world_size, batch_size=batch_size)
        super().__init__(steps_per_epoch=steps, batch_size=batch_size)
        self._key = {
            "seed": seed,
            "rank": rank,
            "world_size": world_size,
            "batch_size": batch_size,
            "images": num_images,
        }
        generator = torch.Generator().manual_seed(stream_seeds(seed, epoch=0, rank=rank).crops)
        self._groups = tuple(_noise(group, batch_size, generator).to(device) for group in crops)

    def __iter__(self) -> Iterator[MultiCropBatch]:
        """The rest of the current epoch."""
        while self._step < self._steps:
            first = self._step * self._batch_size
            self._step += 1
            yield MultiCropBatch(
                groups=self._groups,
                labels=torch.full((self._batch_size,), -1),
                sample_ids=torch.arange(first, first + self._batch_size),
            )
        self._epoch, self._step = self._epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """The position and what it belongs to."""
        return {"epoch": self._epoch, "step_in_epoch": self._step, "key": dict(self._key)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; raises LoaderStateError when it belongs to another layout."""
        if state.get("key") != self._key:
            raise LoaderStateError(
                "the saved data position belongs to another pipeline", found=state.get("key"), expected=self._key
            )
        self._epoch, self._step = int(state["epoch"]), int(state["step_in_epoch"])

    def refuse_other_data(self, state: dict[str, Any]) -> None:
        """Nothing to refuse: noise is noise."""

    def start_epoch(self, epoch: int) -> None:
        """Stand at the beginning of `epoch`."""
        self._epoch, self._step = epoch, 0

    def close(self) -> None:
        """Nothing to release."""


def _noise(group: CropGroup, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """(batch, num, 3, size, size) of unit noise whose crops are channels_last, as the real loader's."""
    noise = torch.randn(batch_size, group.num, group.size, group.size, 3, generator=generator)
    return noise.permute(0, 1, 4, 2, 3)
