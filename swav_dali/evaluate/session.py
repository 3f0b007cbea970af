"""One evaluation as a session of ranks: the network on its device, and the features of whole shard sets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from pipelines.images import ImagePlan
from shards.tars.shardset import ShardSet
from swav_dali.config.sections import SwavConfig
from swav_dali.errors import ConfigError
from swav_dali.evaluate.features import FeatureBank, FeatureFunction, compute_features, gather_bank
from swav_dali.evaluate.prototypes import Assigned, assign, duplicate_of
from swav_dali.evaluate.reading import evaluation_images
from swav_dali.exchange.kinds import Kinds
from swav_dali.exchange.network import Network, network_of, preprocessing_of
from swav_dali.exchange.weights import read_weights
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.device import prepare_device
from swav_dali.ranks.group import process_group
from swav_dali.ranks.interface import check_interface
from swav_dali.ranks.world import World

_EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every evaluation has.

    Attributes:
        network: on this rank's device.
        world: the ranks.
        plan: how pictures are prepared.
        batch_size: images per step and rank.
        threads: CPU threads, None for this rank's share.
    """

    network: Network
    world: World
    plan: ImagePlan
    batch_size: int
    threads: int | None

    def features(self, shards: ShardSet, *, gathered: bool) -> FeatureBank:
        """Features of a set: of all ranks on every rank, or this rank's own; collective if gathered."""
        bank = self.computed(shards, Kinds(self.network.model))
        return gather_bank(bank, self.world) if gathered else bank

    def assignment(self, shards: ShardSet, *, window: int, head: int = 0) -> Assigned:
        """Every image of a set on the prototypes of one of the network's heads; on every rank; collective.

        Raises:
            ConfigError: the weights are a trunk alone, or have no such head.
        """
        heads = self._heads()
        if head >= len(heads):
            found, expected = f"{head} in {self.network.weights.name}", f"less than {len(heads)}, as they count from 0"
            raise ConfigError("no such head of prototypes", where="--head", found=found, expected=expected)
        bank = self.computed(shards, self._embeddings)
        bank = gather_bank(bank, self.world)
        prototypes = functional.normalize(heads[head], dim=1)
        config = self.network.weights.config
        images = assign(
            bank.features[_EMBEDDING],
            prototypes,
            epsilon=float(config.get("swav.epsilon", SwavConfig().epsilon)),
            iterations=int(config.get("swav.sinkhorn_iterations", SwavConfig().sinkhorn_iterations)),
            window=window,
        )
        num_images = torch.bincount(images.nearest, minlength=len(prototypes))
        return Assigned(bank.ids, bank.labels, images, num_images, duplicate_of(prototypes), head, len(heads))

    def _heads(self) -> Sequence[Tensor]:
        """The prototypes of every head, as they were trained."""
        if not self.network.has_head:
            where, expected = self.network.weights.file, "projection head and prototypes"
            raise ConfigError("no head in these weights", where=where, found="a trunk alone", expected=expected)
        return self.network.model.prototype_weights

    def _embeddings(self, images: Tensor) -> dict[str, Tensor]:
        embeddings, _scores = self.network.model([images[:, None]])
        return {_EMBEDDING: embeddings[0]}

    def computed(self, shards: ShardSet, function: FeatureFunction) -> FeatureBank:
        """What `function` makes of this rank's images of a set."""
        images = evaluation_images(shards, self.plan, self.world, batch_size=self.batch_size, threads=self.threads)
        with _progress(shards.root.name, len(images), self.world.is_main) as advance:
            return compute_features(images, function, done=advance)


@contextmanager
def open_session(
    place: Path,
    *,
    device: Literal["auto", "cpu", "cuda"],
    batch_size: int,
    resize: int | None,
    size: int | None,
    threads: int | None,
) -> Iterator[Session]:
    """The session of the weights at `place`, for the length of the block; every rank enters it.

    Raises:
        ConfigError: nothing that can be evaluated.
    """
    network = network_of(read_weights(place))
    plan = preprocessing_of(network.weights.config)
    size = size or plan.size
    plan = replace(plan, resize=max(resize or plan.resize, size), size=size)
    world = World.detect(device)
    check_interface(world)
    with process_group(world), abort_together(world):
        prepare_device(world.device, deterministic=False)
        network.model.to(world.device)
        yield Session(network=network, world=world, plan=plan, batch_size=batch_size, threads=threads)


@contextmanager
def _progress(name: str, total: int, is_shown: bool) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal, one line elsewhere, nothing on other ranks; yields what is told of finished images."""
    console = Console(file=sys.stderr, highlight=False)
    if not is_shown or not console.is_terminal:
        if is_shown:
            console.print(f"features of {total} images of {name}")
        yield lambda _images: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"features of {name}", total=total)
        yield lambda images: progress.advance(task, images)
