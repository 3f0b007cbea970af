"""Opens the two shard sets of the kNN probe and checks that they can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipelines.batch import ImageBatch
from pipelines.images import ImagePlan, open_images
from shards.tars.shardset import ShardSet, load_shard_set
from swav_dali.config.sections import DataConfig, KnnConfig
from swav_dali.errors import ConfigError
from swav_dali.evaluate.probe import ImageSource, KnnProbe
from swav_dali.ranks.world import World


def open_probe(train: ShardSet, data: DataConfig, knn: KnnConfig, world: World) -> KnnProbe | None:
    """The probe of a run, or None without --data.validation.

    Raises:
        ConfigError: one of the two sets has no labels, or their classes differ.
        ShardError: the validation set cannot be read.
    """
    if data.validation is None:
        return None
    validation = load_shard_set(data.validation)
    if validation.num_samples < world.size:
        raise ConfigError(
            "fewer validation images than ranks",
            where="--data.validation",
            found=validation.num_samples,
            expected=f"{world.size} or more",
        )
    if not validation.is_labelled or validation.classes != train.classes:
        raise ConfigError(
            "the kNN probe needs the same classes in both shard sets",
            where="--data.validation",
            found=f"{len(validation.classes)} classes, training has {len(train.classes)}",
            fix="build both from class folders of the same names, or drop --data.validation",
        )
    here = replace(data, loader=replace(data.loader, tars_at=None))  # the copy is of the training tars only
    return KnnProbe(
        _source(train, data, knn, world),
        _source(validation, here, knn, world),
        key=f"{train.fingerprint} {validation.fingerprint} {knn}",
        num_classes=len(train.classes),
        config=knn,
        world=world,
    )


def _source(shards: ShardSet, data: DataConfig, knn: KnnConfig, world: World) -> ImageSource:
    def images(resize: int, size: int) -> Iterable[ImageBatch]:
        return open_images(
            shards,
            ImagePlan(resize=resize, size=size, mean=data.augment.mean, std=data.augment.std),
            batch_size=knn.batch_size,
            rank=world.rank,
            world_size=world.size,
            device=world.device,
            options=data.loader,
        )

    return images
