"""Copying a finished shard set to or from a URL: checksums compared, finished files skipped, the manifest last.

A download goes on where it was cut, from the part that is already there; a set without its manifest is not complete,
so a half-copied one is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.errors import ShardError
from shards.host.atomic import sync_folder, write_whole
from shards.remote.arrival import send_checked
from shards.remote.places import RemoteFolder
from shards.tars.manifest import MANIFEST_NAME, Manifest, parse_manifest

CHUNK = 8 << 20
PART = ".part"
OnBytes = Callable[[int], None]


def read_remote_manifest(source: RemoteFolder) -> Manifest:
    """The manifest at a URL. Raises `ShardError` when there is none."""
    if source.look(MANIFEST_NAME) is None:
        raise ShardError(f"no {MANIFEST_NAME}", where=source.url, expected="a finished shard set")
    return parse_manifest(source.read_from(MANIFEST_NAME, 0), where=f"{source.url}/{MANIFEST_NAME}")


def download(source: RemoteFolder, folder: Path, *, with_tars: bool = True, threads: int = 4, on_bytes: OnBytes) -> int:
    """Copy a shard set from a URL into a folder; returns how many files were fetched.

    Without tars only the manifest and indices come, for a trainer that reads the tars where they are.

    Raises:
        ShardError: a file at the URL does not have the manifest's checksum.
    """
    manifest = read_remote_manifest(source)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(_files(manifest, with_tars=with_tars))
    with ThreadPoolExecutor(threads) as pool:
        fetched = sum(pool.map(lambda item: _fetch(source, folder, item[0], item[1], on_bytes), wanted))
    write_whole(folder / MANIFEST_NAME, manifest.to_bytes())
    return fetched


def upload(folder: Path, target: RemoteFolder, *, threads: int = 4, on_bytes: OnBytes) -> int:
    """Copy a finished shard set to a URL; returns how many files were sent.

    Files that are there with the manifest's content stay. The manifest there goes first and comes back last.

    Raises:
        ShardError: a file did not arrive whole, or the store refuses.
    """
    content = (folder / MANIFEST_NAME).read_bytes()
    manifest = parse_manifest(content, where=folder / MANIFEST_NAME)
    _take_down_other(target, content)
    wanted = list(_files(manifest, with_tars=True))
    with ThreadPoolExecutor(threads) as pool:
        sent = sum(pool.map(lambda item: _send(folder, target, item[0], item[1], on_bytes), wanted))
    target.write(MANIFEST_NAME, content)
    return sent


def _take_down_other(target: RemoteFolder, content: bytes) -> None:
    """Remove another set's manifest before its files change."""
    if target.look(MANIFEST_NAME) is not None and target.read_from(MANIFEST_NAME, 0) != content:
        target.remove(MANIFEST_NAME)


def _files(manifest: Manifest, *, with_tars: bool) -> Iterator[tuple[str, str]]:
    """(name, sha256) of the files to copy."""
    for shard in manifest.shards:
        yield shard.idx, shard.idx_sha256
        if with_tars:
            yield shard.tar, shard.tar_sha256


def _fetch(source: RemoteFolder, folder: Path, name: str, sha256: str, on_bytes: OnBytes) -> int:
    path, part = folder / name, folder / f"{name}{PART}"
    if path.is_file() and _sha256_of_file(path) == sha256:
        on_bytes(path.stat().st_size)
        return 0
    _append(source, name, part, on_bytes)
    if (found := _sha256_of_file(part)) != sha256:
        part.unlink()
        where, fix = f"{source.url}/{name}", "run it again; if it stays, the set at the URL is damaged"
        raise ShardError("arrived with another checksum", where=where, found=found[:12], expected=sha256[:12], fix=fix)
    part.replace(path)
    sync_folder(folder)
    return 1


def _append(source: RemoteFolder, name: str, part: Path, on_bytes: OnBytes) -> None:
    """Fetch what the part does not have yet."""
    if (there := source.look(name)) is None:
        raise ShardError("named in the manifest but missing", where=f"{source.url}/{name}")
    size = there.size
    with part.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        on_bytes(file.tell())
        while file.tell() < size:
            chunk = source.read_from(name, file.tell(), min(CHUNK, size - file.tell()))
            if not chunk:
                raise ShardError("ended early", where=f"{source.url}/{name}", found=file.tell(), expected=size)
            file.write(chunk)
            on_bytes(len(chunk))
        file.flush()
        os.fsync(file.fileno())


def _send(folder: Path, target: RemoteFolder, name: str, sha256: str, on_bytes: OnBytes) -> int:
    num_sent = send_checked(target, name, folder / name, sha256)
    on_bytes((folder / name).stat().st_size)
    return num_sent


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
