"""The part of every graph that reads: tars by their index, labels, and where each sample came from.

DALI trusts the index: it reads exactly the samples that the .idx names, so that a sample that failed verification
is simply not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from torch import Tensor

from pipelines.config import LoaderOptions
from pipelines.errors import PipelineError
from shards.tars.sample_name import SampleName, parse_sample_name
from shards.tars.shardset import ShardSet

READER = "reader"
IMAGE_SUFFIXES = "jpg;jpeg;png;webp;bmp;tif;tiff"
_LABEL_DIGITS = 20  # as many as `shards` accepts; other tools write zeros before and a line's end behind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """Which samples this rank reads, and in what order.

    Attributes:
        paths, index_paths: tars and their indices, in manifest order.
        is_labelled: whether samples have a label.
        has_label_members: whether it is in a `cls` member; the index's names hold it otherwise.
        rank, world_size: the part of this rank.
        seed: of the shuffle pool; differs between ranks.
        shuffle_seed: of the order of the tars; the same on all ranks. None reads in order, without a pool.
        shuffle_pool: encoded images in the pool.
        reader_prefetch, use_mmap: see LoaderOptions.
    """

    paths: tuple[str, ...]
    index_paths: tuple[str, ...]
    is_labelled: bool
    has_label_members: bool
    rank: int
    world_size: int
    seed: int
    shuffle_seed: int | None
    shuffle_pool: int
    reader_prefetch: int
    use_mmap: bool


def plan_reading(
    shards: ShardSet, *, rank: int, world_size: int, seed: int, shuffle_seed: int | None, options: LoaderOptions
) -> ReadPlan:
    """The plan of one rank for a shard set."""
    return ReadPlan(
        paths=tuple(_where(shard.tar, options.tars_at) for shard in shards.shards),
        index_paths=tuple(str(shard.idx) for shard in shards.shards),
        is_labelled=shards.is_labelled,
        has_label_members=shards.is_labelled and shards.has_label_members,
        rank=rank,
        world_size=world_size,
        seed=seed,
        shuffle_seed=shuffle_seed,
        shuffle_pool=options.shuffle_pool,
        reader_prefetch=options.reader_prefetch,
        use_mmap=options.use_mmap,
    )


def _where(tar: Path, elsewhere: str | None) -> str:
    return str(tar) if elsewhere is None else f"{elsewhere.rstrip('/')}/{tar.name}"


def read(plan: ReadPlan) -> tuple[DataNode, DataNode, DataNode]:
    """Encoded image, uint8 (bytes,); label digits, uint8 (20,), zeros if unlabelled; source, uint8 (longest,).

    The source is DALI's `tar:offset:member`, padded with zeros.
    """
    encoded, *labels = members(plan)
    digits = labels[0] if labels else types.Constant(np.zeros(1, np.uint8), device="cpu")
    source = fn.get_property(encoded, key="source_info")
    return encoded, fn.pad(digits, axes=[0], shape=[_LABEL_DIGITS]), fn.pad(source, axes=[0])


def members(plan: ReadPlan) -> list[DataNode]:
    """The reader's own outputs: encoded image and, if labelled, label digits, both uint8 (bytes,)."""
    is_shuffled = plan.shuffle_seed is not None
    parts: Any = fn.readers.webdataset(
        paths=list(plan.paths),
        index_paths=list(plan.index_paths),
        ext=[IMAGE_SUFFIXES, "cls"] if plan.has_label_members else [IMAGE_SUFFIXES],
        missing_component_behavior="error",
        shard_id=plan.rank,
        num_shards=plan.world_size,
        seed=plan.seed,
        random_shuffle=is_shuffled,
        initial_fill=plan.shuffle_pool,
        shuffle_after_epoch=is_shuffled,
        shuffle_after_epoch_seed=plan.shuffle_seed,
        pad_last_batch=True,
        prefetch_queue_depth=plan.reader_prefetch,
        dont_use_mmap=not plan.use_mmap,
        name=READER,
    )
    return list(parts) if plan.has_label_members else [parts]


def exchange(
    nodes: tuple[DataNode, DataNode, DataNode], slots: Sequence[int] | None
) -> tuple[DataNode, DataNode, DataNode]:
    """Outputs of `read` with the sample of place `slots[k]` in place k; unchanged for None.

    The operators are named, so that all others keep the names DALI counts for them and their saved states fit.
    """
    if slots is None:
        return nodes
    encoded, digits, source = (
        fn.permute_batch(node, indices=list(slots), name=f"exchange_{index}") for index, node in enumerate(nodes)
    )
    return encoded, digits, source


def parse_labels(digits: Tensor, *, is_labelled: bool) -> Tensor:
    """ASCII digits padded with zeros, uint8 (batch, 20), to int64 (batch,); -1 where there are no labels."""
    if not is_labelled:
        return torch.full((len(digits),), -1)
    value = torch.zeros(len(digits), dtype=torch.int64)
    for column in digits.to(torch.int64).unbind(1):
        is_digit = (column >= ord("0")) & (column <= ord("9"))  # other tools end the line
        value = torch.where(is_digit, value * 10 + column - ord("0"), value)
    return value


def parse_source(row: bytes) -> tuple[str, int, str]:
    """Tar, offset in bytes and member name of one source."""
    tar, offset, member = row.rstrip(b"\0").decode().rsplit(":", 2)
    return tar, int(offset), member


def parse_names(sources: Tensor) -> list[SampleName]:
    """What the index says of each sample, from sources, uint8 (batch, longest).

    Raises:
        PipelineError: a name holds no number, as in indices that other tools wrote.
    """
    return [_parse_name(row.tobytes()) for row in sources.numpy()]


def ids_of(names: Sequence[SampleName]) -> Tensor:
    """Sample numbers, int64 (batch,)."""
    return torch.tensor([name.number for name in names])


def labels_of(source: ReadPlan | ShardSet, digits: Tensor, names: Sequence[SampleName]) -> Tensor:
    """Labels, int64 (batch,), from `cls` members or the index's names; -1 where there are none."""
    if source.is_labelled and not source.has_label_members:
        return torch.tensor([-1 if name.label is None else name.label for name in names])
    return parse_labels(digits, is_labelled=source.is_labelled)


def _parse_name(source: bytes) -> SampleName:
    tar, _, member = parse_source(source)
    name = parse_sample_name(member)
    if name is None:
        fix = "write its index again: python -m shards index DIR"
        raise PipelineError("a sample without a number in its index", where=tar, found=member, fix=fix)
    return name
