"""Planning as properties over sizes: nothing lost or doubled, even shards, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards.building.job import BuildOptions, plan_build
from shards.building.plan import Cut, ShardPlan, count_shards, plan_shards, shuffled
from shards.errors import ShardError
from shards.sources.folders import ClassFolders
from shards.sources.listing import Listing, ListingBuilder
from shards.tars.manifest import Manifest


def listing(count: int, size: int = 1000) -> Listing:
    builder = ListingBuilder()
    for number in range(count):
        builder.add(f"c/{number}.jpg", size=size, label=number % 3)
    return builder.finish(("a", "b", "c"))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 129, 1000])
@pytest.mark.parametrize("shard_mib", [0.01, 0.1, 256])
def test_every_sample_is_in_one_shard_and_shards_differ_by_one_at_most(count: int, shard_mib: float) -> None:
    plan = plan_shards(listing(count), seed=3, cut=Cut(shard_mib=shard_mib))
    assert_every_sample_once(plan, count)


@pytest.mark.parametrize("count", [1, 7, 64, 65, 127, 1000])
@pytest.mark.parametrize("num_shards", [1, 2, 3, 7, 64])
def test_exactly_the_number_asked_for_and_every_sample_once(count: int, num_shards: int) -> None:
    cut = Cut(num_shards=num_shards)
    if num_shards > count:
        with pytest.raises(ShardError, match="--num-shards: more shards than samples"):
            plan_shards(listing(count), seed=0, cut=cut)
        return
    plan = plan_shards(listing(count), seed=0, cut=cut)
    assert plan.num_shards == num_shards
    assert_every_sample_once(plan, count)


@pytest.mark.parametrize("count", [1, 7, 64, 65, 127, 1000])
@pytest.mark.parametrize("multiple", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("shard_mib", [0.001, 0.05, 256])
def test_a_multiple_is_kept_and_close_to_the_size_asked_for(count: int, multiple: int, shard_mib: float) -> None:
    cut = Cut(shard_mib=shard_mib, multiple=multiple)
    if multiple > count:
        with pytest.raises(ShardError, match="--shard-multiple: more shards than samples"):
            plan_shards(listing(count), seed=0, cut=cut)
        return
    plan = plan_shards(listing(count), seed=0, cut=cut)
    wished = plan_shards(listing(count), seed=0, cut=Cut(shard_mib=shard_mib)).num_shards
    assert plan.num_shards % multiple == 0
    assert abs(plan.num_shards - wished) < multiple
    assert_every_sample_once(plan, count)


def assert_every_sample_once(plan: ShardPlan, count: int) -> None:
    rows = np.concatenate([plan.rows(shard) for shard in range(plan.num_shards)])
    assert sorted(rows.tolist()) == list(range(count))
    sizes = np.diff(plan.bounds)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_shards": 0}, "--num-shards: not a number of shards, found 0, expected 1 or more"),
        ({"num_shards": 9, "multiple": 4}, "--num-shards: not a number of shards, found 9, expected a multiple of 4"),
        ({"multiple": 0}, "--shard-multiple: must be 1 or more, found 0"),
        ({"shard_mib": 0}, "--shard-mib: must be positive, found 0"),
    ],
)
def test_cuts_that_make_no_sense_are_named(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        Cut(**fields)


def test_more_shards_than_names_are_refused() -> None:
    with pytest.raises(ShardError, match="more shards than names, found 1000001"):
        count_shards(2_000_000, 10**9, Cut(num_shards=1_000_001))


def test_order_depends_on_the_seed_only() -> None:
    assert shuffled(500, 1).tolist() == shuffled(500, 1).tolist()
    assert shuffled(500, 1).tolist() != shuffled(500, 2).tolist()


def test_order_for_seed_zero_is_pinned_so_that_old_builds_can_be_repeated() -> None:
    assert shuffled(10, 0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]


@pytest.mark.parametrize(
    ("num_samples", "num_bytes", "expected"),
    [(1_281_167, 150 * 10**9, 559), (2400, 130 * 10**6, 8), (500, 10**7, 7), (50, 10**6, 1), (3, 10**12, 3)],
)
def test_number_of_shards_follows_the_size_but_small_sets_get_several(
    num_samples: int, num_bytes: int, expected: int
) -> None:
    assert count_shards(num_samples, num_bytes, Cut()) == expected


def test_estimate_is_exact_when_sizes_are_known(
    tmp_path: Path, tree: Path, run_build: Callable[..., tuple[Manifest, bool]]
) -> None:
    source = ClassFolders(root=tree)
    manifest, _ = run_build(source, tmp_path / "out")
    written = sum(shard.tar_bytes for shard in manifest.shards)
    assert plan_build(source, BuildOptions()).plan.estimated_bytes == written
