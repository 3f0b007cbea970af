"""The online kNN probe: how far frozen features tell the validation classes apart, beside two floors.

The floors are the untrained network's features and raw 32-pixel images; both are measured once, before the
first step, and travel in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from pipelines.batch import ImageBatch
from swav_dali.config.sections import KnnConfig
from swav_dali.evaluate.knn import knn_accuracies
from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.world import World

PIXEL_SIDE = 32
ImageSource = Callable[[int, int], Iterable[ImageBatch]]
"""(short side, crop side) in pixels -> every image of a shard set once, over the ranks."""


class KnnProbe:
    """Measures kNN top-1 of a feature function on two labelled shard sets."""

    def __init__(
        self,
        train: ImageSource,
        validation: ImageSource,
        *,
        num_classes: int,
        config: KnnConfig,
        world: World,
        key: str = "",
    ) -> None:
        """Vote with `train`, score on `validation`; collective when there are several ranks.

        `key` names what the floors depend on: saved ones of another key are not taken over.
        """
        self._train, self._validation = train, validation
        self._num_classes, self._config, self._world, self._key = num_classes, config, world, key
        self.floors: dict[str, float] = {}

    def measure_floors(self, untrained: Callable[[Tensor], Tensor] | None) -> None:
        """Fill `floors` with `knn_untrained`, unless the network has been trained already, and `knn_pixels`."""
        if untrained is not None:
            self.floors["knn_untrained"] = self.measure(untrained)
        self.floors["knn_pixels"] = self._top1(lambda images: images.flatten(1), PIXEL_SIDE, PIXEL_SIDE, lambda: None)

    def measure(
        self, features: Callable[[Tensor], Tensor], *, before_meeting: Callable[[], None] = lambda: None
    ) -> float:
        """Top-1 accuracy in [0, 1].

        Args:
            features: a function (batch, 3, size, size) -> (batch, dim).
            before_meeting: called when this rank has its features; only then collectives begin.
        """
        return self._top1(features, self._config.resize, self._config.size, before_meeting)

    def validation_images(self) -> Iterable[ImageBatch]:
        """This rank's validation images, as `measure` sees them; not collective."""
        return self._validation(self._config.resize, self._config.size)

    def state_dict(self) -> dict[str, Any]:
        """The floors and what they depend on."""
        return {"floors": dict(self.floors), "key": self._key}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the floors, if they were measured on the same sets in the same way."""
        if state["key"] == self._key:
            self.floors = dict(state["floors"])

    def _top1(
        self, features: Callable[[Tensor], Tensor], resize: int, size: int, before_meeting: Callable[[], None]
    ) -> float:
        most = -(-self._config.max_train_images // self._world.size)
        voters, labels = extract(self._train(resize, size), features, most)
        queries, truth = extract(self._validation(resize, size), features, None)
        before_meeting()
        (top1,) = knn_accuracies(
            queries,
            truth,
            voters,
            labels,
            num_classes=self._num_classes,
            neighbours=(self._config.neighbours,),
            temperature=self._config.temperature,
            world=self._world,
        )
        return top1


@torch.no_grad()
def extract(
    batches: Iterable[ImageBatch], features: Callable[[Tensor], Tensor], most: int | None
) -> tuple[Tensor, Tensor]:
    """Unit features, float32 (images, dim), and labels, int64 (images,), on the images' device.

    Args:
        batches: images in any order.
        features: (batch, 3, size, size) -> (batch, dim).
        most: stop after so many images; None takes all.
    """
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    taken = 0
    for batch in batches:
        left = len(batch.images) if most is None else most - taken
        rows.append(functional.normalize(features(batch.images).float(), dim=1)[:left])
        labels.append(batch.labels[:left].to(batch.images.device))
        taken += len(rows[-1])
        if most is not None and taken >= most:
            break
    return torch.cat(rows), torch.cat(labels)


def gather_rows(rows: Tensor, world: World) -> Tensor:
    """The rows of all ranks, rank by rank; ranks may hold different numbers of rows."""
    if world.size == 1:
        return rows
    counts = rows.new_zeros(world.size, dtype=torch.int64)
    counts[world.rank] = len(rows)
    counts = sum_over_ranks(counts)
    most = int(counts.max())
    padded = rows.new_zeros(most, *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = [torch.empty_like(padded) for _ in range(world.size)]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts.tolist(), strict=True)])
