"""Whole pictures of a shard set as arrays, for tools that look at a few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.config import LoaderOptions
from pipelines.graph import decode
from pipelines.reading.guard import guarded
from pipelines.reading.reader import plan_reading, read
from pipelines.streaming.stream import Stream
from shards.tars.shardset import ShardSet

Array = np.ndarray[Any, Any]


def first_images(shards: ShardSet, count: int) -> list[Array]:
    """The first `count` pictures in shard order, or all there are: uint8 (height, width, 3) each.

    Raises:
        PipelineError: a tar cannot be read, or a picture not decoded.
    """
    options = LoaderOptions(threads=1)
    plan = plan_reading(shards, rank=0, world_size=1, seed=0, shuffle_seed=None, options=options)
    size = min(count, shards.num_samples)
    pipeline = Pipeline(batch_size=size, num_threads=1, device_id=None, prefetch_queue_depth=1)
    with pipeline:
        encoded, *_ = read(plan)
        pipeline.set_outputs(decode(guarded(encoded)[0], "cpu", options))
    (pictures,) = Stream(pipeline, torch.device("cpu")).run()
    return [np.array(pictures.at(index)) for index in range(size)]
