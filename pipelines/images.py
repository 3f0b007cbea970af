"""Undistorted images of a shard set, each once over the ranks: for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from pipelines.batch import ImageBatch
from pipelines.config import LoaderOptions
from pipelines.graph import DaliDevice, decode
from pipelines.reader import ReadPlan, parse_ids, parse_labels, plan_reading, read
from pipelines.stream import Stream
from pipelines.tensors import as_tensor
from shards.shardset import ShardSet


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

    Args:
        shards: the set.
        plan: what is made of an image.
        batch_size: images per batch; the last may be smaller.
        rank: this rank.
        world_size: ranks.
        device: where images are wanted.
        options: how to read.
    """
    start = shards.num_samples * rank // world_size
    count = shards.num_samples * (rank + 1) // world_size - start
    reading = plan_reading(shards, rank=rank, world_size=world_size, seed=0, shuffle_seed=None, options=options)
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
        """All images once; raises SampleError for one that cannot be decoded."""
        if self._count == 0:
            return
        stream = Stream(self._pipeline(), self._device)
        try:
            for taken in range(0, self._count, self._batch_size):
                yield self._batch(stream.run(), min(self._batch_size, self._count - taken))
        finally:
            stream.close()

    def _pipeline(self) -> Pipeline:
        is_cuda = self._device.type == "cuda"
        pipeline = Pipeline(
            batch_size=self._batch_size,
            seed=0,
            num_threads=max(self._options.threads, 1),
            device_id=self._device.index if is_cuda else None,
            prefetch_queue_depth=self._options.prefetch,
        )
        with pipeline:
            outputs = _image_graph(self._reading, self._plan, "gpu" if is_cuda else "cpu", self._options)
            pipeline.set_outputs(*outputs)
        return pipeline

    def _batch(self, outputs: Any, count: int) -> ImageBatch:
        images, digits, source = outputs
        labels = parse_labels(as_tensor(digits), is_labelled=self._reading.is_labelled)
        return ImageBatch(
            images=as_tensor(images).permute(0, 3, 1, 2)[:count],
            labels=labels[:count],
            sample_ids=parse_ids(as_tensor(source))[:count],
        )


def _image_graph(
    reading: ReadPlan, plan: ImagePlan, device: DaliDevice, options: LoaderOptions
) -> tuple[DataNode, DataNode, DataNode]:
    encoded, digits, source = read(reading)
    images = fn.resize(
        decode(encoded, device, options), resize_shorter=plan.resize, interp_type=types.INTERP_LINEAR, antialias=True
    )
    normalized = fn.crop_mirror_normalize(
        images,
        crop=(plan.size, plan.size),
        dtype=types.FLOAT,
        output_layout="HWC",
        mean=[255 * mean for mean in plan.mean],
        std=[255 * std for std in plan.std],
    )
    return normalized, digits, source
