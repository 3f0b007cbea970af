"""Opening shard sets for evaluation: every image of a set once over the ranks, undistorted."""

from __future__ import annotations

from pipelines.config import LoaderOptions
from pipelines.images import ImageLoader, ImagePlan, open_images
from shards.tars.shardset import ShardSet
from swav_dali.errors import ConfigError
from swav_dali.ranks.device import threads_per_rank
from swav_dali.ranks.world import World


def evaluation_images(
    shards: ShardSet, plan: ImagePlan, world: World, *, batch_size: int, threads: int | None
) -> ImageLoader:
    """This rank's images of a set, in shard order.

    Args:
        shards: the set.
        plan: sizes, mean and std.
        world: the ranks that share the set out among them.
        batch_size: images per batch.
        threads: CPU threads, None for this rank's share of the machine.

    Raises:
        ConfigError: there are fewer images than ranks.
    """
    if shards.num_samples < world.size:
        found, expected = f"{shards.num_samples} images", f"one for each of {world.size} ranks"
        raise ConfigError("fewer images than ranks", where=shards.root, found=found, expected=expected)
    options = LoaderOptions(threads=threads or threads_per_rank(world.ranks_per_node))
    return open_images(
        shards,
        plan,
        batch_size=batch_size,
        rank=world.rank,
        world_size=world.size,
        device=world.device,
        options=options,
    )
