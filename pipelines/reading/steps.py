"""How long an epoch is. Pure: the same answer on every rank, from the manifest alone."""

from __future__ import annotations

from pipelines.errors import PipelineError


def steps_per_epoch(*, num_samples: int, world_size: int, batch_size: int) -> int:
    """Full global batches in a data set: floor(samples / (ranks x batch)); the rest is left out of that epoch.

    Raises:
        PipelineError: there is not one full global batch.
    """
    global_batch = world_size * batch_size
    if num_samples < global_batch:
        raise PipelineError(
            "the data set is smaller than one global batch",
            where="--data.batch-size",
            found=f"{num_samples} images for {world_size} rank(s) x {batch_size}",
            expected=f"at least {global_batch} images",
            fix=f"use --data.batch-size {num_samples // world_size} or less" if num_samples >= world_size else None,
        )
    return num_samples // global_batch


def native_batches(*, num_samples: int, world_size: int, batch_size: int) -> int:
    """Batches that DALI's reader counts as one epoch of a rank: every part padded to the longest, then to a batch."""
    longest = -(-num_samples // world_size)
    return -(-longest // batch_size)
