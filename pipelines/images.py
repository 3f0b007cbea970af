"""Undistorted images of a shard set, each once over the ranks: for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from pipelines.batch import ImageBatch
from pipelines.config import LoaderOptions
from pipelines.graph import DaliDevice, dali_device, decode, device_id
from pipelines.reading.guard import bounded, guarded
from pipelines.reading.reader import ReadPlan, exchange, ids_of, labels_of, parse_names, plan_reading, read
from pipelines.streaming.resilient import Made, ResilientStream, Slots, StreamPlan
from pipelines.streaming.tensors import as_tensor
from shards.pictures.troubles import MOST_STRETCHED
from shards.tars.shardset import ShardSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """Resize the short side to `resize`, cut the central `size` x `size`, normalize; sizes in pixels."""

    resize: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def open_images(
    shards: ShardSet,
    plan: ImagePlan,
    *,
    batch_size: int,
    rank: int,
    world_size: int,
    device: torch.device,
    options: LoaderOptions,
) -> ImageLoader:
    """The images of one rank: those numbered N rank / ranks to N (rank + 1) / ranks, in shard order.

    Where there are more ranks than images, the last ranks have none.

    Args:
        shards: the set.
        plan: what is made of an image.
        batch_size: images per batch; the last may be smaller.
        rank: this rank.
        world_size: ranks.
        device: where images are wanted.
        options: how to read.
    """
    num, parts = shards.num_samples, min(world_size, shards.num_samples)  # DALI refuses a part without a sample
    first, end = (min(num * part // parts, num) for part in (rank, rank + 1))
    own = min(rank, parts - 1)
    reading = plan_reading(shards, rank=own, world_size=parts, seed=0, shuffle_seed=None, options=options)
    count = end - first
    return ImageLoader(reading, plan, count=count, batch_size=batch_size, device=device, options=options)


class ImageLoader:
    """Iterable of ImageBatch; each `iter` starts over with a pipeline of its own."""

    def __init__(
        self,
        reading: ReadPlan,
        plan: ImagePlan,
        *,
        count: int,
        batch_size: int,
        device: torch.device,
        options: LoaderOptions,
    ) -> None:
        """Made by `open_images`; `count` images are this rank's."""
        self._reading, self._plan, self._count = reading, plan, count
        self._batch_size, self._device, self._options = batch_size, device, options

    def __len__(self) -> int:
        """Images of this rank."""
        return self._count

    def __iter__(self) -> Iterator[ImageBatch]:
        """All images once, without those skipped; raises SampleError for one that cannot be decoded."""
        if self._count == 0:
            return
        stream = ResilientStream(
            StreamPlan(
                reading=self._reading,
                build=self._pipeline,
                batch_size=self._batch_size,
                device=self._device,
                decoder=dali_device(self._device),
                options=self._options,
                most_stretched=MOST_STRETCHED,
            )
        )
        try:
            for taken in range(0, self._count, self._batch_size):
                yield self._batch(stream.next(), min(self._batch_size, self._count - taken))
        finally:
            stream.close()

    def _pipeline(self, state: bytes | None, slots: Slots) -> Pipeline:
        pipeline = Pipeline(
            batch_size=self._batch_size,
            seed=0,
            num_threads=max(self._options.threads, 1),
            device_id=device_id(self._device),
            prefetch_queue_depth=self._options.prefetch,
            enable_checkpointing=True,
            checkpoint=state,
        )
        with pipeline:
            nodes = exchange(read(self._reading), slots)
            pipeline.set_outputs(*_image_graph(nodes, self._plan, dali_device(self._device), self._options))
        return pipeline

    def _batch(self, made: Made, count: int) -> ImageBatch:
        images, digits, source = made.outputs
        kept = [place for place in range(count) if place not in made.replaced]
        chosen = slice(count) if len(kept) == count else kept  # a slice copies nothing
        names = parse_names(as_tensor(source))
        labels = labels_of(self._reading, as_tensor(digits), names)
        return ImageBatch(
            images=as_tensor(images).permute(0, 3, 1, 2)[chosen],
            labels=labels[chosen],
            sample_ids=ids_of(names)[chosen],
        )


def _image_graph(
    nodes: tuple[DataNode, DataNode, DataNode], plan: ImagePlan, device: DaliDevice, options: LoaderOptions
) -> tuple[DataNode, DataNode, DataNode]:
    encoded, digits, source = nodes
    encoded, shapes = guarded(encoded)
    encoded = bounded(encoded, shapes, MOST_STRETCHED)
    sides = fn.cast(shapes, dtype=types.FLOAT)[0:2]
    resized = math.floor(sides * float(plan.resize) / fn.reductions.min(sides))
    images = fn.resize(decode(encoded, device, options), size=resized, interp_type=types.INTERP_LINEAR, antialias=True)
    start = _half_to_even(resized - float(plan.size))
    normalized = fn.crop_mirror_normalize(
        fn.slice(images, start=start, shape=[plan.size, plan.size], axes=[0, 1]),
        dtype=types.FLOAT,
        output_layout="HWC",
        mean=[255 * mean for mean in plan.mean],
        std=[255 * std for std in plan.std],
    )
    return normalized, digits, source


def _half_to_even(margin: DataNode) -> DataNode:
    """Half a margin rounded as Python's round does, because torchvision's centre crop does."""
    down = math.floor(margin / 2.0)
    is_odd, is_half = (whole - 2.0 * math.floor(whole / 2.0) for whole in (down, margin))
    return fn.cast(down + is_odd * is_half, dtype=types.INT32)
