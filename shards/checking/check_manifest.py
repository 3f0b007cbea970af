"""A shard set's files against its manifest, as far as that takes no reading of tars: all differences, not the first.

`load_shard_set` refuses a set at its first difference, since a trainer has no use for the others; a person has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.tars.manifest import MANIFEST_NAME, Manifest, ShardEntry, read_manifest, sha256_of


@dataclass(frozen=True, kw_only=True)
class ManifestCheck:
    """What the manifest says, which of its shards have a tar and an index here, and what differs."""

    manifest: Manifest
    there: tuple[ShardEntry, ...]
    problems: tuple[str, ...]


def check_manifest(root: Path) -> ManifestCheck:
    """Compare names, sizes and index checksums. Raises `ShardError` when there is no manifest that can be read."""
    manifest = read_manifest(root)
    if manifest is None:
        raise ShardError(f"no {MANIFEST_NAME} to compare with", where=root, fix="leave --quick out to read the tars")
    there = [e for e in manifest.shards if (root / e.tar).is_file() and (root / e.idx).is_file()]
    problems = [*(line for entry in manifest.shards for line in _differences(root, entry)), *_strangers(root, manifest)]
    return ManifestCheck(manifest=manifest, there=tuple(there), problems=tuple(problems))


def _differences(root: Path, entry: ShardEntry) -> Iterator[str]:
    tar, idx = root / entry.tar, root / entry.idx
    if not tar.is_file():
        yield f"{tar.name}: named in the manifest but missing"
    elif (size := tar.stat().st_size) != entry.tar_bytes:
        yield f"{tar.name}: {size:,} bytes, the manifest has {entry.tar_bytes:,}"
    if not idx.is_file():
        yield f"{idx.name}: named in the manifest but missing"
    elif (sha256 := sha256_of(idx.read_bytes())) != entry.idx_sha256:
        yield f"{idx.name}: sha256 is {sha256[:12]}..., the manifest has {entry.idx_sha256[:12]}..."


def _strangers(root: Path, manifest: Manifest) -> Iterator[str]:
    known = {entry.tar for entry in manifest.shards}
    for tar in sorted(root.glob("*.tar")):
        if tar.name not in known:
            yield f"{tar.name}: not in the manifest; readers that take every tar of the folder read it too"
