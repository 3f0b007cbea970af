"""What nvJPEG does with damaged scan data behind a sound header: raise, decode in silence, or poison the context."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import PipelineError, SampleError
from shards.tars.index import format_index, parse_index
from shards.tars.manifest import MANIFEST_NAME, read_manifest, sha256_of
from shards.tars.shardset import load_shard_set
from swav_dali.gpu_check.loading import device_of, open_one
from swav_dali.gpu_check.setting import Setting

_BATCH, _PICTURES, _BLOCK = 2, 4, 512


def damaged(setting: Setting, *, kind: str) -> dict[str, Any]:
    """Damage one of a few pictures, read through them, and tell what happened."""
    with tempfile.TemporaryDirectory(dir=setting.work) as folder:
        member = _write_few_pictures(setting, Path(folder), kind)
        found = _read_through(replace(setting, shards=Path(folder)))
    return {**found, "member": member, "device": str(device_of(setting))}


def _read_through(setting: Setting) -> dict[str, Any]:
    try:
        with closing(open_one(setting, batch=_BATCH, crops_by="gpu", shuffle_pool=1)) as loader:
            for batch in loader:
                assert all(bool(group.isfinite().all()) for group in batch.groups), "a batch that is not finite"
    except SampleError as error:
        return {"outcome": "raises, and the sample is named", "text": str(error)}
    except PipelineError as error:
        return {"outcome": "raises without a name", "text": str(error)}
    return {"outcome": "decodes in silence", "text": ""}


def _write_few_pictures(setting: Setting, folder: Path, kind: str) -> str:
    """A shard set of the first pictures, the second of them damaged; returns its name."""
    manifest, shards = read_manifest(setting.photos), load_shard_set(setting.photos)
    assert manifest is not None
    shard, entry = shards.shards[0], manifest.shards[0]
    samples = parse_index(shard.idx.read_bytes(), where=shard.idx)[:_PICTURES]
    last = samples[-1][-1]
    with shard.tar.open("rb") as file:
        content = np.frombuffer(file.read(-(-(last.offset + last.size) // _BLOCK) * _BLOCK), np.uint8).copy()
    place, member = next((place, each) for place, each in enumerate(samples[1]) if each.suffix in ("jpg", "jpeg"))
    size = spoil(content[member.offset : member.offset + member.size], kind)
    samples[1][place] = member._replace(size=size)
    tar, idx = content.tobytes() + bytes(2 * _BLOCK), format_index(samples)
    entry = replace(
        entry, num_samples=len(samples), tar_bytes=len(tar), tar_sha256=sha256_of(tar), idx_sha256=sha256_of(idx)
    )
    (folder / entry.tar).write_bytes(tar)
    (folder / entry.idx).write_bytes(idx)
    (folder / MANIFEST_NAME).write_bytes(replace(manifest, shards=(entry,)).to_bytes())
    return member.name


def spoil(content: Any, kind: str) -> int:
    """Damage a JPEG's bytes, uint8 (bytes,), in place; returns how many of them are left.

    The frame header, which the guard before the decoder reads, stays sound.
    """
    scan = _marker(content, 0xDA) + 14  # behind the scan header of three components
    middle, rng = (scan + content.size) // 2, np.random.default_rng(0)
    if kind == "cut in half":
        return int(middle)
    if kind == "no end":
        return int(content.size) - 2
    if kind == "zeros in the scan":
        content[middle : middle + content.size // 20] = 0
    elif kind == "flipped bits":
        places = rng.integers(scan, content.size - 2, 20)
        content[places] ^= np.left_shift(1, rng.integers(0, 8, 20)).astype(np.uint8)
    else:  # symbols of the first Huffman table
        table = _marker(content, 0xC4) + 21
        content[table : table + 12] = rng.integers(0, 256, 12, np.uint8)
    return int(content.size)


def _marker(content: Any, code: int) -> int:
    """Where the first marker of this code lies; segments are skipped by their lengths."""
    at = 2
    while content[at + 1] != code:
        at += 2 + int(content[at + 2]) * 256 + int(content[at + 3])
    return at
