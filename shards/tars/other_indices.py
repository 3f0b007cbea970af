"""Indices that other readers look for: timm's `_info.json` and the `shardindex.json` of wids.

timm reads a root folder with all splits, so its file is written there with names relative to it; wids reads one split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from shards.tars.manifest import Manifest

TIMM_NAME = "_info.json"
WIDS_NAME = "shardindex.json"


def format_indices(splits: dict[str, Manifest]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the index files. A set without a split has the key "" and is timm's `train`."""
    yield TIMM_NAME, _json({"splits": {name or "train": _timm_split(name, m) for name, m in splits.items()}})
    for name, manifest in splits.items():
        yield f"{name}/{WIDS_NAME}" if name else WIDS_NAME, _json(_wids_index(manifest))


def _timm_split(name: str, manifest: Manifest) -> dict[str, Any]:
    prefix = f"{name}/" if name else ""
    return {
        "name": name or "train",
        "num_samples": manifest.num_samples,
        "filenames": [prefix + shard.tar for shard in manifest.shards],
        "shard_lengths": [shard.num_samples for shard in manifest.shards],
    }


def _wids_index(manifest: Manifest) -> dict[str, Any]:
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": manifest.name,
        "shardlist": [
            {"url": shard.tar, "nsamples": shard.num_samples, "filesize": shard.tar_bytes} for shard in manifest.shards
        ],
    }


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
