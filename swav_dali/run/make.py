"""What a configuration names, made: the shards and what watches over them, the loader, and the parts that learn."""

from __future__ import annotations

import torch

from pipelines.batch import Loader
from pipelines.config import resolve_crops_by
from pipelines.loader import open_loader
from pipelines.synthetic import SyntheticLoader
from pipelines.virtual import VirtualEpochs
from shards.tars.shardset import ShardSet, load_shard_set
from swav_dali.config.sections import RunConfig, SwavConfig
from swav_dali.method.optimizers import make_optimizer
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.scale import LossScale
from swav_dali.model.net import SwavNet, made_net
from swav_dali.model.recompute import recompute_blocks
from swav_dali.ranks.ddp import settle, wrap
from swav_dali.ranks.device import autocast_dtype
from swav_dali.ranks.world import World
from swav_dali.run.data_guard import DataGuard
from swav_dali.run.parts import ModelParts
from swav_dali.run.verify import ShardCheck


def load_shards(config: RunConfig) -> ShardSet | None:
    """The shard set to train on; None for made-up images. Raises ShardError for a set that cannot be used."""
    if config.data.synthetic_images:
        return None
    return load_shard_set(config.data.train, tars_elsewhere=config.data.loader.tars_at is not None)


def guard_shards(config: RunConfig, shards: ShardSet | None, world: World) -> DataGuard:
    """One rank of every machine looks at the shards; those that are read from elsewhere are not at their place."""
    if shards is None or world.local_rank or config.data.loader.tars_at is not None:
        return DataGuard()
    return DataGuard(shards.shards)


def check_shards(config: RunConfig, shards: ShardSet | None, world: World) -> ShardCheck | None:
    """Compare checksums in the background, if there is something to compare; to be closed."""
    if shards is None or config.data.loader.tars_at is not None:  # a copy elsewhere was compared when it was made
        return None
    return ShardCheck(shards.shards, config.data.verify, world)


def open_data(config: RunConfig, shards: ShardSet | None, world: World) -> Loader:
    """The training loader of this rank, of `shards` or of made-up images; epochs are passes, or counted in steps."""
    passes, steps = _open_passes(config, shards, world), config.optim.steps_per_epoch
    return VirtualEpochs(passes, steps=steps) if steps else passes


def _open_passes(config: RunConfig, shards: ShardSet | None, world: World) -> Loader:
    data = config.data
    if shards is None:
        return SyntheticLoader(
            crops=data.crops,
            batch_size=data.batch_size,
            num_images=data.synthetic_images,
            rank=world.rank,
            world_size=world.size,
            seed=config.seed,
            device=world.device,
        )
    return open_loader(
        shards,
        crops=data.crops,
        augment=data.augment,
        crops_by=resolve_crops_by(data.crops_by, on_cuda=world.device.type == "cuda"),
        batch_size=data.batch_size,
        rank=world.rank,
        world_size=world.size,
        seed=config.seed,
        device=world.device,
        options=data.loader,
    )


def make_parts(config: RunConfig, world: World) -> ModelParts:
    """Network, optimizer and queue, freshly initialized on this rank's device."""
    model = _build_model(config).to(world.device)
    dtype = autocast_dtype(config.precision, world.device)
    net = wrap(model, world, sync_bn=config.model.sync_bn)
    settle(net, (group.size for group in config.data.crops))
    return ModelParts(
        model=model,
        net=net,
        optimizer=make_optimizer(model, config.optim),
        queue=_build_queue(config.swav, config, world),
        autocast_dtype=dtype,
        loss_scale=LossScale(world.device, start=config.optim.loss_scale) if dtype == torch.float16 else None,
    )


def _build_model(config: RunConfig) -> SwavNet:
    model = made_net(config.model)
    if config.model.recompute:
        recompute_blocks(model.trunk)
    if config.model.compile:
        model.trunk.compile(dynamic=False)  # in place, so names in checkpoints stay; a graph per size of crops
    return model.to(memory_format=torch.channels_last) if config.model.channels_last else model


def _build_queue(swav: SwavConfig, config: RunConfig, world: World) -> FeatureQueue | None:
    if swav.queue_length == 0:
        return None
    return FeatureQueue(
        length=swav.queue_length,
        num_assign=len(swav.assign_crops),
        embedding_dim=config.model.embedding_dim,
        batch_size=config.data.batch_size,
        world_size=world.size,
        device=world.device,
    )
