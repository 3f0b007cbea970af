"""Seeds of neighbouring runs, epochs and ranks share nothing, except the order of the tars between ranks."""

from __future__ import annotations

from itertools import product

from pipelines.reading.seeds import stream_seeds


def test_seeds_depend_on_run_epoch_and_rank_and_never_meet() -> None:
    grid = list(product(range(4), range(5), range(8)))
    drawn = [stream_seeds(seed, epoch=epoch, rank=rank) for seed, epoch, rank in grid]
    pools_and_crops = [seed for each in drawn for seed in (each.pool, each.crops)]
    assert len(set(pools_and_crops)) == len(pools_and_crops)
    assert not set(pools_and_crops) & {each.tars for each in drawn}


def test_all_ranks_order_the_tars_alike() -> None:
    assert len({stream_seeds(3, epoch=2, rank=rank).tars for rank in range(8)}) == 1
    assert len({stream_seeds(3, epoch=epoch, rank=0).tars for epoch in range(8)}) == 8


def test_seeds_fit_into_dali() -> None:
    assert all(0 <= stream_seeds(seed, epoch=0, rank=0).crops < 2**31 for seed in range(200))


def test_seeds_are_the_same_on_every_machine() -> None:
    assert stream_seeds(31, epoch=0, rank=0) == stream_seeds(31, epoch=0, rank=0)
    pinned = stream_seeds(31, epoch=1, rank=2)  # a change would break every resume
    assert (pinned.tars, pinned.pool, pinned.crops) == (757944052, 558903832, 795148613)
