"""Small shard sets written by hand, and loaders on them; nothing is downloaded."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.config import Augmentation, CropGroup, LoaderOptions
from pipelines.loader import DaliLoader, open_loader
from shards.tars.index import IndexMember, format_index
from shards.tars.manifest import Manifest, ShardEntry, sha256_of
from shards.tars.shardset import ShardSet, load_shard_set

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
    """The shard set of a folder: its pictures in a shuffled order, numbered, in `num_tars` tars."""
    out.mkdir()
    pictures = sorted(path for path in source.rglob("*") if path.is_file())
    classes = tuple(sorted({path.parent.name for path in pictures} - {source.name}))
    order = np.random.default_rng(len(pictures)).permutation(len(pictures))
    samples = [(number, pictures[index]) for number, index in enumerate(order)]
    bounds = np.linspace(0, len(samples), num_tars + 1).astype(int)
    entries = [
        write_shard(out / f"set-{number:06d}", samples[first:last], classes)
        for number, (first, last) in enumerate(pairwise(bounds))
    ]
    manifest = Manifest(name="set", seed=0, classes=classes, shards=tuple(entries), build={})
    (out / "manifest.json").write_bytes(manifest.to_bytes())
    return load_shard_set(out)


def write_shard(stem: Path, samples: Sequence[tuple[int, Path]], classes: Sequence[str]) -> ShardEntry:
    """One tar and its index by the standard library's writer."""
    tar, idx, lines = stem.with_suffix(".tar"), stem.with_suffix(".idx"), []
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, path in samples:
            members = [(path.suffix[1:], path.read_bytes())]
            if classes:
                members.append(("cls", str(classes.index(path.parent.name)).encode()))
            lines.append([add_member(archive, f"{number:09d}.{suffix}", content) for suffix, content in members])
    idx.write_bytes(format_index(lines))
    return ShardEntry(
        tar=tar.name,
        idx=idx.name,
        num_samples=len(samples),
        tar_bytes=tar.stat().st_size,
        tar_sha256=sha256_of(tar.read_bytes()),
        idx_sha256=sha256_of(idx.read_bytes()),
    )


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> IndexMember:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    start = archive.offset + tarfile.BLOCKSIZE
    archive.addfile(info, io.BytesIO(content))
    return IndexMember(name.rpartition(".")[2], start, len(content), name)


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


def damage_sample(shards: ShardSet, number: int) -> str:
    """Overwrite the picture of a sample after its first two bytes; returns where it lies as errors say it."""
    for shard in shards.shards:
        for line in shard.idx.read_text().splitlines()[1:]:
            suffix, offset, size, name = line.split()[:4]
            if int(name.split(".")[0]) == number:
                content = bytearray(shard.tar.read_bytes())
                content[int(offset) + 2 : int(offset) + int(size)] = bytes(int(size) - 2)
                shard.tar.write_bytes(content)
                assert suffix == "jpg"
                return f"{shard.tar}: {name} at byte {offset}"
    raise AssertionError(f"no sample {number}")


@pytest.fixture
def damage() -> Callable[[ShardSet, int], str]:
    """See `damage_sample`."""
    return damage_sample


def default_loader(shards: ShardSet, **changes: Any) -> DaliLoader:
    """A loader of rank 0 of 1, batches of 4, tiny crops; `options` are keywords of LoaderOptions."""
    options = {"threads": 1, "shuffle_pool": 8, **changes.pop("options", {})}
    chosen: dict[str, Any] = {
        "crops": CROPS,
        "augment": Augmentation(),
        "crops_by": "cpu",
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
