"""What the reader says of each sample: label, number and place, and how long DALI thinks an epoch is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia.dali.pipeline import Pipeline

from pipelines.config import LoaderOptions
from pipelines.reading.reader import READER, ids_of, parse_labels, parse_names, parse_source, plan_reading, read
from pipelines.reading.steps import native_batches


def reading_pipeline(shards: Any, *, rank: int = 0, world_size: int = 1, batch_size: int = 4) -> Pipeline:
    plan = plan_reading(
        shards, rank=rank, world_size=world_size, seed=1, shuffle_seed=2, options=LoaderOptions(shuffle_pool=8)
    )
    made = Pipeline(batch_size=batch_size, num_threads=1, device_id=None, seed=3)
    with made:
        _, digits, source = read(plan)
        made.set_outputs(digits, source)
    made.build()
    return made


def numbers(made: Pipeline) -> list[int]:
    return ids_of(parse_names(torch.from_dlpack(made.run()[1].as_tensor()))).tolist()


@pytest.mark.parametrize(("count", "world_size", "batch_size"), list(product((24, 29), (1, 2, 3), (3, 4))))
def test_native_batches_are_those_the_reader_counts(
    make_set: Any, count: int, world_size: int, batch_size: int
) -> None:
    made = reading_pipeline(make_set(count), world_size=world_size, batch_size=batch_size)
    padded = made.reader_meta(READER)["epoch_size_padded"] // world_size
    assert -(-padded // batch_size) == native_batches(num_samples=count, world_size=world_size, batch_size=batch_size)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_native_batches_hold_each_sample_of_the_rank_in_every_epoch(make_set: Any, world_size: int) -> None:
    """Five epochs: were the count off by one, a later epoch would lack a sample or show one of the next."""
    batches = native_batches(num_samples=29, world_size=world_size, batch_size=4)
    ranks = [reading_pipeline(make_set(29), rank=rank, world_size=world_size) for rank in range(world_size)]
    for _ in range(5):
        seen = [number for made in ranks for _ in range(batches) for number in numbers(made)]
        assert set(seen) == set(range(29))
        assert len(seen) == world_size * batches * 4


def test_each_label_and_source_belong_to_the_same_picture(make_set: Any, picture: Callable[..., bytes]) -> None:
    made = reading_pipeline(make_set(29))
    label_of = {picture(number): number % 3 for number in range(29)}
    seen = {}
    for _ in range(8):
        digits, source = (torch.from_dlpack(output.as_tensor()) for output in made.run())
        for label, row in zip(parse_labels(digits, is_labelled=True), source, strict=True):
            tar, offset, member = parse_source(row.numpy().tobytes())
            content = Path(tar).read_bytes()[offset:]
            (expected,) = [label_of[known] for known in label_of if content.startswith(known)]
            assert label == expected
            seen[member] = label
    assert len(seen) == 29


def test_labels_of_any_length_are_read_from_their_digits() -> None:
    rows = [[*text.encode(), *[0] * (8 - len(text))] for text in ("0", "7", "10", "21840", "99999999")]
    assert parse_labels(torch.tensor(rows, dtype=torch.uint8), is_labelled=True).tolist() == [0, 7, 10, 21840, 99999999]
    assert parse_labels(torch.zeros(3, 8, dtype=torch.uint8), is_labelled=False).tolist() == [-1, -1, -1]


def test_a_source_may_have_colons_in_its_path() -> None:
    assert parse_source(b"s3://bucket/a.tar:1536:000000012.jpg\0\0") == ("s3://bucket/a.tar", 1536, "000000012.jpg")
