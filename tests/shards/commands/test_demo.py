"""The drawn pictures: decided by their seed, of natural sizes, in every class, and not told apart by colour."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from shards.demo.picture import CLASSES, draw_jpeg
from shards.demo.source import DrawnPictures
from shards.tars.shardset import load_shard_set


def test_a_picture_is_decided_by_its_seed() -> None:
    assert draw_jpeg(3, (0, 1)) == draw_jpeg(3, (0, 1))
    assert draw_jpeg(3, (0, 1)) != draw_jpeg(3, (0, 2))


def test_sizes_are_natural_and_every_class_draws_both_colours() -> None:
    for label in range(len(CLASSES)):
        image = Image.open(io.BytesIO(draw_jpeg(label, (1, label))))
        assert image.format == "JPEG"
        assert all(200 <= side <= 600 for side in image.size)
        assert np.asarray(image.convert("L"), dtype=float).std() > 10


def test_mean_colour_says_nothing_about_the_class() -> None:
    means = [
        [np.asarray(Image.open(io.BytesIO(draw_jpeg(label, (2, n)))).resize((1, 1)), float).ravel() for n in range(8)]
        for label in range(4)
    ]
    by_class = np.array(means).mean(axis=1)
    assert np.abs(by_class - by_class.mean(axis=0)).max() < 3 * np.array(means).std() / np.sqrt(8)


def test_the_splits_share_no_picture_and_are_balanced(tmp_path: Path, run_build: Callable[..., object]) -> None:
    listings = [DrawnPictures(num_pictures=24, seed=0, stream=stream).scan()[0] for stream in (0, 1)]
    assert {sample.offset for sample in listings[0]}.isdisjoint(sample.offset for sample in listings[1])
    assert np.bincount(listings[0].labels).tolist() == [2] * 12
    run_build(DrawnPictures(num_pictures=24, seed=0, stream=1), tmp_path / "out", name="demo")
    assert load_shard_set(tmp_path / "out").classes == CLASSES
