"""Copying a finished shard set to or from a store: checksums compared, finished files skipped, the manifest last.

A download goes on where it was cut, from the part that is already there; a set without its manifest is not complete,
so a half-copied one is never taken for a whole one.

What was sent is compared by the store's own checksum where it has one that we know. S3 keeps an ETag, which for plain
objects is their md5, or that of the parts' md5 for objects sent in parts. Where it is something else, as with some
kinds of encryption and in other stores, the file is read back and hashed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from shards.errors import ShardError
from shards.host.atomic import sync_folder, write_whole
from shards.host.files import sha256_of_file
from shards.remote.store import S3_PART_BYTES, Store
from shards.tars.manifest import MANIFEST_NAME, Manifest, parse_manifest

CHUNK = 8 << 20
PART = ".part"
OnBytes = Callable[[int], None]


def manifest_at(store: Store) -> Manifest | None:
    """The manifest of the set in a store, or None when there is none. Raises `ShardError` when it is not one."""
    if store.look(MANIFEST_NAME) is None:
        return None
    return parse_manifest(store.read_from(MANIFEST_NAME, 0), where=store.place(MANIFEST_NAME))


def finished_set(store: Store) -> Manifest:
    """The manifest of the set in a store. Raises `ShardError` when there is none."""
    if (manifest := manifest_at(store)) is None:
        expected = "a finished shard set, one split of it"
        raise ShardError(f"no {MANIFEST_NAME}", where=store.place(), expected=expected)
    return manifest


def download(source: Store, folder: Path, *, with_tars: bool = True, threads: int = 4, on_bytes: OnBytes) -> int:
    """Copy a shard set into a folder; returns how many files were fetched.

    Without tars only the manifest and indices come, for a trainer that reads the tars where they are.

    Raises:
        ShardError: a file in the store does not have the manifest's checksum.
    """
    manifest = finished_set(source)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _files(manifest, with_tars=with_tars)
    with ThreadPoolExecutor(threads) as pool:
        num_fetched = sum(pool.map(lambda file: _fetch(source, folder, file[0], file[1], on_bytes), wanted))
    write_whole(folder / MANIFEST_NAME, manifest.to_bytes())
    return num_fetched


def upload(folder: Path, target: Store, *, threads: int = 4, on_bytes: OnBytes) -> int:
    """Copy a finished shard set to a store; returns how many files were sent.

    Files that are there with the manifest's content stay. The manifest there goes first and comes back last.

    Raises:
        ShardError: a file did not arrive whole, or the store refuses.
    """
    content = (folder / MANIFEST_NAME).read_bytes()
    manifest = parse_manifest(content, where=folder / MANIFEST_NAME)
    if target.look(MANIFEST_NAME) is not None and target.read_from(MANIFEST_NAME, 0) != content:
        target.remove(MANIFEST_NAME)  # another set's, before its files change

    def send(file: tuple[str, str]) -> int:
        name, sha256 = file
        num_sent = send_checked(target, name, folder / name, sha256)
        on_bytes((folder / name).stat().st_size)
        return num_sent

    with ThreadPoolExecutor(threads) as pool:
        num_sent = sum(pool.map(send, _files(manifest, with_tars=True)))
    target.write(MANIFEST_NAME, content)
    return num_sent


def _files(manifest: Manifest, *, with_tars: bool) -> Iterator[tuple[str, str]]:
    """(name, sha256) of the files to copy."""
    for shard in manifest.shards:
        yield shard.idx, shard.idx_sha256
        if with_tars:
            yield shard.tar, shard.tar_sha256


def _fetch(source: Store, folder: Path, name: str, sha256: str, on_bytes: OnBytes) -> int:
    path, part = folder / name, folder / f"{name}{PART}"
    if path.is_file() and sha256_of_file(path) == sha256:
        on_bytes(path.stat().st_size)
        return 0
    _append(source, name, part, on_bytes)
    if (found := sha256_of_file(part)) != sha256:
        part.unlink()
        where, fix = source.place(name), "run it again; if it stays, the set at the URL is damaged"
        raise ShardError("arrived with another checksum", where=where, found=found[:12], expected=sha256[:12], fix=fix)
    part.replace(path)
    sync_folder(folder)
    return 1


def _append(source: Store, name: str, part: Path, on_bytes: OnBytes) -> None:
    """Fetch what the part does not have yet."""
    if (there := source.look(name)) is None:
        raise ShardError("named in the manifest but missing", where=source.place(name))
    with part.open("ab") as file:
        if file.tell() > there.size:
            file.truncate(0)
        on_bytes(file.tell())
        while (position := file.tell()) < there.size:
            chunk = source.read_from(name, position, min(CHUNK, there.size - position))
            if not chunk:
                raise ShardError("ended early", where=source.place(name), found=position, expected=there.size)
            file.write(chunk)
            on_bytes(len(chunk))
        file.flush()
        os.fsync(file.fileno())


class Sums(NamedTuple):
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


def send_checked(target: Store, name: str, local: Path, sha256: str) -> int:
    """Have a local file in a store; returns the files sent, 0 where the same bytes were there already.

    Raises:
        ShardError: the local file has not the sha256 it should, the store refuses, or other bytes arrived.
    """
    sums = sums_of(local)
    if sums.sha256 != sha256:
        fix = "it is damaged: python -m shards check DIR --full"
        raise ShardError("has another sha256", where=local, found=sums.sha256[:12], expected=sha256[:12], fix=fix)
    if _holds(target, name, sums):
        return 0
    target.put(local, name)
    if not _holds(target, name, sums):
        where, fix = target.place(name), "run it again; if it stays, the store or the way to it is at fault"
        raise ShardError("arrived with other bytes", where=where, expected=f"sha256 {sha256[:12]}", fix=fix)
    return 1


def _holds(target: Store, name: str, sums: Sums) -> bool:
    there = target.look(name)
    if there is None or there.size != sums.size:
        return False
    if there.etag in sums.etags:
        return True
    digest = hashlib.sha256()
    for start in range(0, there.size, CHUNK):
        digest.update(target.read_from(name, start, min(CHUNK, there.size - start)))
    return digest.hexdigest() == sums.sha256
