"""The manifest: what a shard set holds, as one JSON file written last.

A folder without `manifest.json` is an unfinished build and nothing reads it. The file has no time stamps and no
absolute paths, so the same input, options and seed give the same bytes; its sha256 is the set's fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shards.errors import ShardError

MANIFEST_NAME = "manifest.json"
FORMAT = "swav-dali-shards"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard as the manifest names it: file names relative to the manifest, sizes in bytes, sha256 in hex."""

    tar: str
    idx: str
    num_samples: int
    tar_bytes: int
    tar_sha256: str
    idx_sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A whole shard set.

    Attributes:
        name: first part of every shard's file name.
        seed: of the global shuffle.
        classes: names in label order; empty when the samples have no labels.
        shards: in reading order.
        num_dropped: samples of the source that were left out; `errors.jsonl` names them.
        build: what the set was made from and with which options, as plain JSON values.
    """

    name: str
    seed: int
    classes: tuple[str, ...]
    shards: tuple[ShardEntry, ...]
    num_dropped: int = 0
    build: dict[str, Any]

    @property
    def num_samples(self) -> int:
        """Samples in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    def to_bytes(self) -> bytes:
        """The file's content: UTF-8 JSON in a fixed order of keys."""
        head = {"format": FORMAT, "version": VERSION, "name": self.name, "seed": self.seed}
        body = {
            "num_samples": self.num_samples,
            "num_dropped": self.num_dropped,
            "classes": list(self.classes),
            "build": self.build,
            "shards": [asdict(shard) for shard in self.shards],
        }
        return (json.dumps({**head, **body}, ensure_ascii=False, indent=1) + "\n").encode()


def parse_manifest(content: bytes, *, where: object) -> Manifest:
    """Read a manifest's bytes; `where` names them in the `ShardError` raised when they are not a manifest."""
    fix = "build the shards again: python -m shards build SRC OUT"
    try:
        fields = json.loads(content)
        found = (fields["format"], fields["version"])
        if found != (FORMAT, VERSION):
            raise ShardError("of another format", where=where, found=found, expected=(FORMAT, VERSION), fix=fix)
        if not fields["shards"]:
            raise ShardError("names no shards", where=where, fix=fix)
        return Manifest(
            name=fields["name"],
            seed=fields["seed"],
            classes=tuple(fields["classes"]),
            shards=tuple(ShardEntry(**shard) for shard in fields["shards"]),
            num_dropped=fields["num_dropped"],
            build=fields["build"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ShardError("not a shard manifest", where=where, found=repr(error), fix=fix) from None


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, or None when there is none. Raises `ShardError` when it cannot be read as one."""
    path = folder / MANIFEST_NAME
    return parse_manifest(path.read_bytes(), where=path) if path.is_file() else None


def sha256_of(content: bytes) -> str:
    """Hexadecimal sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()
