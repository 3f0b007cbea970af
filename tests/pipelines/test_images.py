"""Evaluation images: each once over the ranks, the pixels of Pillow's resize and crop, nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from pipelines.config import LoaderOptions
from pipelines.errors import SampleError, SampleWarning
from pipelines.images import ImageLoader, ImagePlan, open_images

PLAN = ImagePlan(resize=32, size=28, mean=(0.485, 0.456, 0.406), std=(0.228, 0.224, 0.225))


def images(shards: Any, *, rank: int = 0, world_size: int = 1, batch_size: int = 5, **options: Any) -> ImageLoader:
    return open_images(
        shards,
        PLAN,
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        device=torch.device("cpu"),
        options=LoaderOptions(threads=1, **options),
    )


@pytest.mark.parametrize("count", [24, 29])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_each_image_comes_once_over_the_ranks(make_set: Any, count: int, world_size: int) -> None:
    ranks = [images(make_set(count), rank=rank, world_size=world_size) for rank in range(world_size)]
    seen = [n for loader in ranks for batch in loader for n in batch.sample_ids.tolist()]
    assert sorted(seen) == list(range(count))
    assert [len(loader) for loader in ranks] == [sum(len(b.images) for b in loader) for loader in ranks]


def test_more_ranks_than_images_leave_the_last_ones_without(make_set: Any) -> None:
    ranks = [images(make_set(24), rank=rank, world_size=30) for rank in (0, 23, 24, 29)]
    assert [len(loader) for loader in ranks] == [1, 1, 0, 0]
    assert [[n for b in loader for n in b.sample_ids.tolist()] for loader in ranks] == [[0], [23], [], []]


def member_bytes(shards: Any) -> dict[int, bytes]:
    found = {}
    for shard in shards.shards:
        content = shard.tar.read_bytes()
        for line in shard.idx.read_text().splitlines()[1:]:
            _, offset, size, name = line.split()[:4]
            found[int(name.split(".")[0])] = content[int(offset) : int(offset) + int(size)]
    return found


def test_pixels_are_pillows_resize_and_centre_crop(make_set: Any, tmp_path: Path) -> None:
    """Within rounding of sizes and pixels; a filter confined to whole levels differs by one here and there."""
    shards, apart = make_set(24), []
    encoded = member_bytes(shards)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PLAN.mean, PLAN.std))
    for batch in images(shards):
        for number, ours in zip(batch.sample_ids.tolist(), batch.images, strict=True):
            path = tmp_path / "picture"
            path.write_bytes(encoded[number])
            resized = functional.resize(Image.open(path).convert("RGB"), [PLAN.resize])
            theirs = torch.from_numpy(np.array(functional.center_crop(resized, [PLAN.size]))).permute(2, 0, 1)
            apart.append((255 * (ours * std + mean) - theirs).abs())
    levels = torch.stack(apart)
    assert levels.mean() < 0.6
    assert levels.amax() <= 12


def test_labels_are_minus_one_without_classes(make_set: Any) -> None:
    assert all((batch.labels == -1).all() for batch in images(make_set(24, labelled=False)))
    assert {n for batch in images(make_set(24)) for n in batch.labels.tolist()} == {0, 1, 2}


def test_iterating_again_starts_over_and_an_early_break_leaves_no_thread(make_set: Any) -> None:
    loader = images(make_set(24))
    whole = [batch.sample_ids.tolist() for batch in loader]
    threads = threading.active_count()
    for _ in range(3):
        batches = iter(loader)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
    native = len(list(Path("/proc/self/task").iterdir()))
    for batch in loader:
        assert batch.sample_ids.tolist() == whole[0]
        break
    assert len(list(Path("/proc/self/task").iterdir())) <= native + 1
    assert [batch.sample_ids.tolist() for batch in loader] == whole


def test_a_bad_image_is_named_or_left_out(fresh_set: Any, damage: Callable[..., str]) -> None:
    shards = fresh_set(24)
    place = damage(shards, 12)
    with pytest.raises(SampleError) as caught:
        list(images(shards))
    assert str(caught.value).startswith(f"{place}: cannot be decoded")
    with pytest.warns(SampleWarning, match="000000012"):
        found = list(images(shards, on_error="skip"))
    assert [n for batch in found for n in batch.sample_ids.tolist()] == [n for n in range(24) if n != 12]
    assert [len(batch.images) for batch in found] == [5, 5, 4, 5, 4]
    assert [len(batch.labels) for batch in found] == [5, 5, 4, 5, 4]
