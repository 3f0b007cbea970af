"""Epoch lengths are one formula on every rank, and DALI's reader counts what we say it counts."""

from __future__ import annotations

from itertools import product

import pytest

from pipelines.errors import PipelineError
from pipelines.reading.steps import native_batches, steps_per_epoch

GRID = list(product((1, 5, 24, 29, 100), (1, 2, 3, 8), (1, 3, 4, 10)))


@pytest.mark.parametrize(("num_samples", "world_size", "batch_size"), GRID)
def test_an_epoch_is_as_many_full_global_batches_as_fit(num_samples: int, world_size: int, batch_size: int) -> None:
    global_batch = world_size * batch_size
    if num_samples < global_batch:
        with pytest.raises(PipelineError, match=f"{num_samples} images for {world_size} rank"):
            steps_per_epoch(num_samples=num_samples, world_size=world_size, batch_size=batch_size)
        return
    steps = steps_per_epoch(num_samples=num_samples, world_size=world_size, batch_size=batch_size)
    assert steps * global_batch <= num_samples < (steps + 1) * global_batch
    shortest = num_samples // world_size
    assert steps * batch_size <= shortest
    assert steps <= native_batches(num_samples=num_samples, world_size=world_size, batch_size=batch_size)


def test_a_small_data_set_names_a_batch_size_that_fits() -> None:
    with pytest.raises(PipelineError, match=r"use --data\.batch-size 7 or less"):
        steps_per_epoch(num_samples=15, world_size=2, batch_size=64)
    with pytest.raises(PipelineError, match=r"expected at least 8 images$"):
        steps_per_epoch(num_samples=3, world_size=8, batch_size=1)


def test_lengths_by_hand_at_the_edges() -> None:
    """Samples, ranks, batch -> steps of an epoch, batches that DALI counts."""
    table = {
        (8, 2, 4): (1, 1),
        (9, 2, 4): (1, 2),  # one rank has five
        (15, 2, 4): (1, 2),
        (16, 2, 4): (2, 2),
        (1_281_167, 64, 64): (312, 313),
        (1_281_167, 4, 64): (5004, 5005),
    }
    for (num_samples, world_size, batch_size), lengths in table.items():
        sizes = {"num_samples": num_samples, "world_size": world_size, "batch_size": batch_size}
        assert (steps_per_epoch(**sizes), native_batches(**sizes)) == lengths


def test_fewer_images_than_ranks_have_no_batch_size_that_fits() -> None:
    with pytest.raises(PipelineError) as caught:
        steps_per_epoch(num_samples=3, world_size=4, batch_size=1)
    assert "use --data.batch-size" not in str(caught.value)
    with pytest.raises(PipelineError, match=r"use --data\.batch-size 1 or less"):
        steps_per_epoch(num_samples=4, world_size=4, batch_size=2)
