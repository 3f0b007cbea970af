"""Whether a file at a URL has the bytes of a local one: by the store's own checksum where it has one that we know.

S3 keeps an ETag, which for plain objects is their md5, or that of the parts' md5 for objects sent in parts. Where it
is something else, as with some kinds of encryption and in other stores, the file is read back and hashed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shards.errors import ShardError
from shards.remote.places import S3_PART_BYTES, RemoteFolder

CHUNK = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Sums:
    """A local file's size in bytes, its sha256 in hex, and what S3's ETag may be for these bytes."""

    size: int
    sha256: str
    etags: frozenset[str]


def sums_of(local: Path, *, part_bytes: int = S3_PART_BYTES) -> Sums:
    """Read a file once for all its sums; `part_bytes` is the size of the parts it would be sent in."""
    sha256, md5, parts, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), [], 0
    with local.open("rb") as file:
        while part := file.read(part_bytes):
            sha256.update(part)
            md5.update(part)
            parts.append(hashlib.md5(part, usedforsecurity=False).digest())
            size += len(part)
    in_parts = f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
    return Sums(size=size, sha256=sha256.hexdigest(), etags=frozenset({md5.hexdigest(), in_parts}))


def send_checked(target: RemoteFolder, name: str, local: Path, sha256: str) -> int:
    """Have a local file at a URL; returns the files sent, 0 where the same bytes were there already.

    Raises:
        ShardError: the local file has not the sha256 it should, the store refuses, or other bytes arrived.
    """
    sums = sums_of(local)
    if sums.sha256 != sha256:
        fix = "it is damaged: python -m shards check DIR --full"
        raise ShardError("has another sha256", where=local, found=sums.sha256[:12], expected=sha256[:12], fix=fix)
    if _holds(target, name, sums):
        return 0
    target.put(str(local), name)
    if not _holds(target, name, sums):
        where, fix = f"{target.url}/{name}", "run it again; if it stays, the store or the way to it is at fault"
        raise ShardError("arrived with other bytes", where=where, expected=f"sha256 {sha256[:12]}", fix=fix)
    return 1


def _holds(target: RemoteFolder, name: str, sums: Sums) -> bool:
    there = target.look(name)
    if there is None or there.size != sums.size:
        return False
    return there.etag in sums.etags or _sha256_at(target, name, there.size) == sums.sha256


def _sha256_at(source: RemoteFolder, name: str, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, CHUNK):
        digest.update(source.read_from(name, start, min(CHUNK, size - start)))
    return digest.hexdigest()
