"""Small shard sets from the real builder, and loaders on them; nothing is downloaded."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.config import Augmentation, CropGroup, LoaderOptions
from pipelines.loader import DaliLoader, open_loader
from shards.build import BuildOptions, build, plan_build
from shards.shardset import ShardSet, load_shard_set
from shards.sources.recognise import recognise

CROPS = (
    CropGroup(num=2, size=24, min_scale=0.3, max_scale=1.0),
    CropGroup(num=3, size=16, min_scale=0.1, max_scale=0.3),
)


def encoded_picture(seed: int, *, kind: str = "JPEG") -> bytes:
    """A smooth random picture of 40 to 70 pixels a side; the same seed gives the same bytes."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(40, 70, 2)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def write_pictures(root: Path, count: int, *, labelled: bool, png_every: int = 0) -> Path:
    """Picture number k is made of seed k and lies, if labelled, in folder class{k % 3}."""
    for number in range(count):
        folder = root / f"class{number % 3}" if labelled else root
        folder.mkdir(parents=True, exist_ok=True)
        is_png = bool(png_every) and number % png_every == 0
        kind, suffix = ("PNG", "png") if is_png else ("JPEG", "jpg")
        (folder / f"{number:04d}.{suffix}").write_bytes(encoded_picture(number, kind=kind))
    return root


def build_set(source: Path, out: Path, *, num_tars: int = 3) -> ShardSet:
    """The shard set of a folder, in about `num_tars` tars."""
    per_picture = 3 * 512 + sum(path.stat().st_size for path in source.rglob("*.*")) / len(list(source.rglob("*.*")))
    mib = per_picture * len(list(source.rglob("*.*"))) / num_tars / 2**20
    (found,) = recognise(source).values()
    job = plan_build(found, BuildOptions(shard_mib=mib))
    build(job, out, pool=lambda: ThreadPoolExecutor(1), num_in_flight=1)
    return load_shard_set(out)


SetMaker = Callable[..., ShardSet]
LoaderMaker = Callable[..., DaliLoader]


@pytest.fixture(scope="session")
def make_set(tmp_path_factory: pytest.TempPathFactory) -> SetMaker:
    """Shard sets by the number of their pictures, each built once; they are not to be changed."""
    made: dict[tuple[Any, ...], ShardSet] = {}

    def make(count: int, *, labelled: bool = True, num_tars: int = 3, png_every: int = 0) -> ShardSet:
        key = (count, labelled, num_tars, png_every)
        if key not in made:
            root = tmp_path_factory.mktemp("set")
            source = write_pictures(root / "pictures", count, labelled=labelled, png_every=png_every)
            made[key] = build_set(source, root / "shards", num_tars=num_tars)
        return made[key]

    return make


@pytest.fixture
def fresh_set(tmp_path: Path) -> SetMaker:
    """A shard set of its own for a test that damages it."""

    def make(count: int, *, num_tars: int = 3) -> ShardSet:
        source = write_pictures(tmp_path / "pictures", count, labelled=True)
        return build_set(source, tmp_path / "shards", num_tars=num_tars)

    return make


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """See `encoded_picture`."""
    return encoded_picture


def default_loader(shards: ShardSet, **changes: Any) -> DaliLoader:
    """A loader of rank 0 of 1, batches of 4, tiny crops; `options` are keywords of LoaderOptions."""
    options = {"threads": 1, "shuffle_pool": 8, **changes.pop("options", {})}
    chosen: dict[str, Any] = {
        "crops": CROPS,
        "augment": Augmentation(),
        "quality": "exact",
        "batch_size": 4,
        "rank": 0,
        "world_size": 1,
        "seed": 5,
        "device": torch.device("cpu"),
        **changes,
    }
    return open_loader(shards, options=LoaderOptions(**options), **chosen)


@pytest.fixture
def make_loader() -> LoaderMaker:
    """See `default_loader`; every loader is closed after the test."""
    return default_loader
