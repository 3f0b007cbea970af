"""Frozen features of a whole shard set: computed once, by all ranks together, in the order of the sample ids.

What is evaluated afterwards (linear heads, kNN, files of features) sees plain tensors and knows nothing of shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.batch import ImageBatch
from swav_dali.evaluate.probe import gather_rows
from swav_dali.ranks.world import World

FeatureFunction = Callable[[Tensor], dict[str, Tensor]]
"""(batch, 3, size, size) -> features by the name of their kind, each (batch, dim)."""


@dataclass(frozen=True, slots=True)
class FeatureBank:
    """Features of images.

    Attributes:
        features: float32 (images, dim) by the name of their kind.
        labels: int64 (images,), -1 where unlabelled.
        ids: int64 (images,), ascending: the samples' numbers in their shard set.
    """

    features: dict[str, Tensor]
    labels: Tensor
    ids: Tensor

    def __len__(self) -> int:
        """Images."""
        return len(self.ids)


@torch.no_grad()
def compute_features(
    batches: Iterable[ImageBatch], function: FeatureFunction, *, done: Callable[[int], object] = lambda _: None
) -> FeatureBank:
    """Features of this rank's images, in the order of their ids.

    Args:
        batches: the images, each once; at least one.
        function: the frozen network.
        done: told after every batch how many images it had.
    """
    features: dict[str, list[Tensor]] = {}
    labels, ids = [], []
    for batch in batches:
        for name, rows in function(batch.images).items():
            features.setdefault(name, []).append(rows.float())
        labels.append(batch.labels.to(batch.images.device))
        ids.append(batch.sample_ids.to(batch.images.device))
        done(len(batch.labels))
    bank = FeatureBank({name: torch.cat(rows) for name, rows in features.items()}, torch.cat(labels), torch.cat(ids))
    return _in_order(bank)


def gather_bank(bank: FeatureBank, world: World) -> FeatureBank:
    """The images of all ranks on every rank, in the order of their ids; collective."""
    return _in_order(
        FeatureBank(
            {name: gather_rows(rows, world) for name, rows in bank.features.items()},
            gather_rows(bank.labels, world),
            gather_rows(bank.ids, world),
        )
    )


def _in_order(bank: FeatureBank) -> FeatureBank:
    order = bank.ids.argsort()
    return FeatureBank({name: rows[order] for name, rows in bank.features.items()}, bank.labels[order], bank.ids[order])
