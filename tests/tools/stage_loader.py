"""Loaders whose crops are made by the stage behind the graph, in Triton's interpreter: run as a script of its own.

stage_loader.py SHARDS    prints a JSON object of claims, each true or false
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import torch

from pipelines.batch import MultiCropBatch
from pipelines.config import Augmentation, CropGroup, CropsBy, LoaderOptions
from pipelines.loader import DaliLoader, open_loader
from shards.tars.shardset import load_shard_set

CROPS = (
    CropGroup(num=2, size=24, min_scale=0.3, max_scale=1.0),
    CropGroup(num=1, size=16, min_scale=0.1, max_scale=0.3),
)


def opened(root: Path, crops_by: CropsBy, **options: Any) -> DaliLoader:
    """Batches of 2 on the CPU."""
    return open_loader(
        load_shard_set(root),
        crops=CROPS,
        augment=Augmentation(solarize=0.3),
        crops_by=crops_by,
        batch_size=2,
        rank=0,
        world_size=1,
        seed=5,
        device=torch.device("cpu"),
        options=LoaderOptions(threads=1, shuffle_pool=8, **options),
    )


def taken(loader: DaliLoader, count: int) -> list[MultiCropBatch]:
    """The next batches, over as many epochs as it takes."""
    found: list[MultiCropBatch] = []
    while len(found) < count:
        found += itertools.islice(loader, count - len(found))
    return found


def equal(ours: list[MultiCropBatch], theirs: list[MultiCropBatch]) -> bool:
    """The same bits, in the same memory order."""
    return all(
        torch.equal(one.sample_ids, other.sample_ids)
        and torch.equal(one.labels, other.labels)
        and all(
            torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
            for a, b in zip(one.groups, other.groups, strict=True)
        )
        for one, other in zip(ours, theirs, strict=True)
    )


def claims(root: Path) -> dict[str, bool]:
    """What should hold of such a loader."""
    straight = taken(opened(root, "gpu"), 5)
    ahead, resumed = opened(root, "gpu", prefetch=3), opened(root, "gpu")
    first = taken(ahead, 2)
    resumed.load_state_dict(ahead.state_dict())
    found = {
        "crops are those of the compiled kernels": equal(straight, taken(opened(root, "cpu"), 5)),
        "a state continues whatever was prepared ahead": equal(first + taken(resumed, 3), straight),
    }
    for precision in ("float16", "bfloat16"):
        halves = [taken(opened(root, by, precision=precision), 1) for by in ("gpu", "cpu")]
        found[f"{precision} is rounded alike"] = equal(*halves)
    return found


if __name__ == "__main__":
    print(json.dumps(claims(Path(sys.argv[1]))))
