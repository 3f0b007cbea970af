"""The training loader over whole epochs: every sample once, the same bits however it is run, other bits per seed."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch

from pipelines.batch import MultiCropBatch
from pipelines.errors import PipelineError
from pipelines.loader import DaliLoader


def same(ours: MultiCropBatch, theirs: MultiCropBatch) -> bool:
    left, right = ((*each.groups, each.labels, each.sample_ids) for each in (ours, theirs))
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def epoch(loader: DaliLoader) -> list[MultiCropBatch]:
    return list(loader)


def ids(batches: list[MultiCropBatch]) -> list[int]:
    return [number for batch in batches for number in batch.sample_ids.tolist()]


@pytest.mark.parametrize(("count", "world_size"), list(product((24, 29), (1, 2, 3))))
def test_the_ranks_epochs_share_no_sample_and_leave_out_less_than_a_global_batch(
    make_set: Any, make_loader: Any, count: int, world_size: int
) -> None:
    ranks = [make_loader(make_set(count), rank=rank, world_size=world_size) for rank in range(world_size)]
    for number in range(3):
        assert [rank.epoch for rank in ranks] == [number] * world_size
        per_rank = [ids(epoch(rank)) for rank in ranks]
        assert {len(part) for part in per_rank} == {ranks[0].steps_per_epoch * 4}
        seen = Counter(sample for part in per_rank for sample in part)
        assert max(seen.values()) == 1
        assert set(seen) <= set(range(count))


def test_every_epoch_has_another_order_and_over_epochs_no_sample_is_always_left_out(
    make_set: Any, make_loader: Any
) -> None:
    loader = make_loader(make_set(29), batch_size=8)
    orders = [ids(epoch(loader)) for _ in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert set().union(*orders) == set(range(29))


def test_batches_are_normalized_channels_last_crops_with_labels(make_set: Any, make_loader: Any) -> None:
    batch = next(iter(make_loader(make_set(24))))
    assert [tuple(group.shape) for group in batch.groups] == [(4, 2, 3, 24, 24), (4, 3, 3, 16, 16)]
    assert all(group.dtype == torch.float32 for group in batch.groups)
    assert all(group.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) for group in batch.groups)
    assert all(group.min() > -2.2 and group.max() < 2.7 for group in batch.groups)
    assert set(batch.labels.tolist()) <= {0, 1, 2}
    assert batch.labels.dtype == batch.sample_ids.dtype == torch.int64


@pytest.mark.parametrize("crops_by", ["cpu", "dali"])
def test_threads_and_prefetch_do_not_change_a_bit(make_set: Any, make_loader: Any, crops_by: str) -> None:
    shards = make_set(24)
    expected = epoch(make_loader(shards, crops_by=crops_by))
    for changes in ({"threads": 2}, {"threads": 4}, {"prefetch": 1}, {"prefetch": 3}, {"reader_prefetch": 3}):
        found = epoch(make_loader(shards, crops_by=crops_by, options=changes))
        assert all(same(one, other) for one, other in zip(found, expected, strict=True)), changes


def test_memory_mapping_does_not_change_a_bit(make_set: Any, make_loader: Any) -> None:
    mapped, read = (epoch(make_loader(make_set(24), options={"use_mmap": use})) for use in (True, False))
    assert all(same(one, other) for one, other in zip(mapped, read, strict=True))


def test_seed_rank_and_epoch_change_order_and_crops(make_set: Any, make_loader: Any) -> None:
    shards = make_set(24)
    plain = make_loader(shards)
    first, second = epoch(plain), epoch(plain)
    other_seed = epoch(make_loader(shards, seed=6))
    assert ids(first) != ids(second)
    assert ids(first) != ids(other_seed)
    by_sample = [crops_by_sample(batches) for batches in (first, second, other_seed)]
    for number in range(24):
        one, two, three = (table[number] for table in by_sample)
        assert not torch.equal(one, two)
        assert not torch.equal(one, three)


def crops_by_sample(batches: list[MultiCropBatch]) -> dict[int, torch.Tensor]:
    return {int(n): crops for batch in batches for n, crops in zip(batch.sample_ids, batch.groups[0], strict=True)}


def test_two_ranks_never_draw_the_same_crops_of_a_sample(make_set: Any, make_loader: Any) -> None:
    """Ranks read different samples in an epoch; their parts swap in the next when the order of the tars allows."""
    shards = make_set(24)
    ranks = [make_loader(shards, rank=rank, world_size=2) for rank in range(2)]
    tables = [crops_by_sample([batch for _ in range(3) for batch in epoch(rank)]) for rank in ranks]
    shared = tables[0].keys() & tables[1].keys()
    assert shared
    assert not any(torch.equal(tables[0][number], tables[1][number]) for number in shared)


def test_no_two_crops_of_an_image_are_alike(make_set: Any, make_loader: Any) -> None:
    for batch in epoch(make_loader(make_set(24))):
        for group in batch.groups:
            for crops in group:
                assert all(not torch.equal(crops[i], crops[j]) for i in range(len(crops)) for j in range(i))


def test_unlabelled_shards_give_minus_one(make_set: Any, make_loader: Any) -> None:
    batches = epoch(make_loader(make_set(24, labelled=False)))
    assert sorted(ids(batches)) == list(range(24))
    assert all(batch.labels.tolist() == [-1] * 4 for batch in batches)


def test_png_members_are_read_beside_jpegs(make_set: Any, make_loader: Any) -> None:
    assert sorted(ids(epoch(make_loader(make_set(24, png_every=3))))) == list(range(24))


def test_start_epoch_depends_on_seed_and_epoch_only(make_set: Any, make_loader: Any) -> None:
    shards = make_set(24)
    fresh, used = make_loader(shards), make_loader(shards)
    next(iter(used))
    for loader in (fresh, used):
        loader.start_epoch(3)
        assert (loader.epoch, loader.step_in_epoch) == (3, 0)
    first, again = epoch(fresh), epoch(used)
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    used.start_epoch(4)
    assert ids(epoch(used)) != ids(first)


def test_closing_in_the_middle_and_iterating_again_continues(make_set: Any, make_loader: Any) -> None:
    shards = make_set(24)
    expected = epoch(make_loader(shards))
    loader = make_loader(shards)
    batches = iter(loader)
    found = [next(batches), next(batches)]
    loader.close()
    loader.close()
    found += epoch(loader)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_a_batch_stays_as_it_is_while_later_ones_are_made(make_set: Any, make_loader: Any) -> None:
    loader = make_loader(make_set(24))
    batches = iter(loader)
    first = next(batches)
    kept = [group.clone() for group in first.groups]
    list(batches)
    loader.close()
    assert all(torch.equal(group, copy) for group, copy in zip(first.groups, kept, strict=True))


def test_a_data_set_below_a_global_batch_is_refused_before_anything_is_built(make_set: Any, make_loader: Any) -> None:
    with pytest.raises(PipelineError, match="smaller than one global batch"):
        make_loader(make_set(24), batch_size=13, world_size=2)
