"""A finished shard set, opened for reading.

`load_shard_set` is the only way in: it refuses a set whose files are missing or are no longer those that the manifest
was written for, because the DALI reader trusts an index blindly. It compares tar sizes and index checksums, which
costs milliseconds; `python -m shards check` reads every byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.tars.manifest import MANIFEST_NAME, ShardEntry, parse_manifest, sha256_of

BUILD_FIX = "make the shards: python -m shards build SRC OUT"
CHANGED_FIX = "build the shards again, or see what differs: python -m shards check DIR"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One tar with its DALI index. `tar_bytes` is the size of the tar file, `tar_sha256` its checksum in hex."""

    tar: Path
    idx: Path
    num_samples: int
    tar_bytes: int
    tar_sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """One split of a data set at rest.

    Attributes:
        root: the folder that holds the manifest, tars and indices.
        name: first part of the shard file names.
        seed: of the global shuffle at build time.
        classes: class names in label order; empty when the samples have no labels.
        shards: in reading order.
        fingerprint: sha256 of the manifest, in hex; two sets with the same fingerprint hold the same bytes.
        has_label_members: whether labels are in `cls` members, where there are any; else the index's names hold them.
    """

    root: Path
    name: str
    seed: int
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    fingerprint: str
    has_label_members: bool = True

    @property
    def num_samples(self) -> int:
        """Samples in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def is_labelled(self) -> bool:
        """Whether every sample has a label."""
        return bool(self.classes)


def load_shard_set(root: Path, *, tars_elsewhere: bool = False) -> ShardSet:
    """Open the shard set in `root`.

    `tars_elsewhere` is for sets of which only the manifest and indices are here (`python -m shards stage
    --without-tars`): the tars are then neither looked for nor measured.

    Raises:
        ShardError: the folder, its manifest or a file it names is missing, or a tar's size or an index's sha256 is not
            the manifest's.
    """
    path = root / MANIFEST_NAME
    if not root.is_dir():
        raise ShardError("no such folder", where=root, expected="a folder of shards", fix=BUILD_FIX)
    if not path.is_file():
        raise ShardError(f"no {MANIFEST_NAME}", where=root, found=_what_is_there(root), fix=_way_in(root))
    content = path.read_bytes()
    manifest = parse_manifest(content, where=path)
    return ShardSet(
        root=root,
        name=manifest.name,
        seed=manifest.seed,
        classes=manifest.classes,
        shards=tuple(_open_shard(root, entry, tars_elsewhere) for entry in manifest.shards),
        fingerprint=sha256_of(content),
        has_label_members="labels" not in manifest.build,
    )


def _open_shard(root: Path, entry: ShardEntry, tars_elsewhere: bool) -> Shard:
    tar, idx = root / entry.tar, root / entry.idx
    for path in (idx,) if tars_elsewhere else (tar, idx):
        if not path.is_file():
            raise ShardError("named in the manifest but missing", where=path, fix=CHANGED_FIX)
    if not tars_elsewhere and (found := tar.stat().st_size) != entry.tar_bytes:
        raise _changed(tar, f"{found} bytes", f"{entry.tar_bytes} bytes")
    if (idx_sha256 := sha256_of(idx.read_bytes())) != entry.idx_sha256:
        raise _changed(idx, f"sha256 {idx_sha256[:12]}...", f"{entry.idx_sha256[:12]}...")
    num_samples, tar_bytes, tar_sha256 = entry.num_samples, entry.tar_bytes, entry.tar_sha256
    return Shard(tar=tar, idx=idx, num_samples=num_samples, tar_bytes=tar_bytes, tar_sha256=tar_sha256)


def _changed(path: Path, found: str, expected: str) -> ShardError:
    what = "changed since the manifest was written"
    return ShardError(what, where=path, found=found, expected=expected, fix=CHANGED_FIX)


def _way_in(root: Path) -> str:
    """What to do about a folder that is no set: name one of those in it, or make one."""
    split = next(iter(sorted(root.glob(f"*/{MANIFEST_NAME}"))), None)
    return BUILD_FIX if split is None else f"name one of them, for instance {split.parent}"


def _what_is_there(root: Path) -> str:
    num_tars = len(list(root.glob("*.tar")))
    splits = [path.parent.name for path in sorted(root.glob(f"*/{MANIFEST_NAME}"))]
    if splits:
        return f"shard sets in its subfolders: {', '.join(splits)}"
    return f"{num_tars} tar files" if num_tars else "no tar files"
