"""Places given as URLs, through fsspec: s3://bucket/folder, gs://..., or a plain path."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shards.errors import ShardError, missing_package

EXTRA = "remote"
WITH_FOLDERS = frozenset({"file", "local", "sftp", "ssh", "smb", "ftp", "hdfs", "memory"})
S3_PART_BYTES = 50 << 20
VERSION_FIELDS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")  # names differ by store


def is_url(place: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in place


class RemoteFile(NamedTuple):
    """A file at a URL: its size in bytes, a number that differs when it has been replaced, and its ETag or ""."""

    size: int
    stamp: int
    etag: str


@dataclass(frozen=True, kw_only=True)
class RemoteFolder:
    """A folder on some file system; picklable, connects when first used.

    Every method raises `UserError` when the package for the URL's scheme is missing, and all but `read` raise
    `ShardError` when the store refuses.
    """

    url: str
    _connected: list[Any] = field(default_factory=list, repr=False, compare=False)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises OSError when they cannot be had, as a source's reader must."""
        filesystem = self._filesystem()
        try:
            content: bytes = filesystem.cat_file(self._path(name))
        except OSError:
            raise
        except Exception as error:  # every kind of store has errors of its own
            raise OSError(f"{self.url}/{name}: {error}") from error
        return content

    def read_from(self, name: str, start: int, num_bytes: int | None = None) -> bytes:
        """A part of a file, or all from `start` on; short or empty at its end."""
        filesystem, end = self._filesystem(), None if num_bytes is None else start + num_bytes
        with self._said("cannot be read", name):
            content: bytes = filesystem.cat_file(self._path(name), start=start, end=end)
        return content

    def look(self, name: str) -> RemoteFile | None:
        """A file's size and version as they are now, or None when it is not there."""
        filesystem = self._filesystem()
        with self._said("cannot be looked at", name):
            try:
                filesystem.invalidate_cache()
                return _remote_file(filesystem.info(self._path(name)))
            except FileNotFoundError:
                return None

    def put(self, local: str, name: str) -> None:
        """Copy a local file to this folder."""
        options = {"chunksize": S3_PART_BYTES} if self._scheme == "s3" else {}
        with self._said("cannot be written", name):
            self._make_parent(name).put_file(local, self._path(name), **options)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._said("cannot be written", name):
            self._make_parent(name).pipe_file(self._path(name), content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        filesystem = self._filesystem()
        with self._said("cannot be removed", name):
            filesystem.rm_file(self._path(name))

    def find(self) -> dict[str, RemoteFile]:
        """Every file below as it is now, by its name relative to the folder; empty when there is none."""
        filesystem, root = self._filesystem(), self._path("")
        with self._said("cannot be listed", ""):
            filesystem.invalidate_cache()
            found = filesystem.find(root, detail=True)
        return {path.removeprefix(root).lstrip("/"): _remote_file(info) for path, info in found.items()}

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0] if is_url(self.url) else "file"

    def _make_parent(self, name: str) -> Any:
        """The file system, with the folder for a file in it. Object stores have none and would make a bucket."""
        filesystem = self._filesystem()
        if self._scheme in WITH_FOLDERS:
            filesystem.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
        return filesystem

    @contextmanager
    def _said(self, what: str, name: str) -> Iterator[None]:
        """Turn what went wrong at the store into one line for a person."""
        try:
            yield
        except Exception as error:  # every kind of store has errors of its own
            where = f"{self.url}/{name}" if name else self.url
            fix = "check the address, the credentials and that the bucket exists"
            found = str(error) or type(error).__name__  # the text: not all of these errors survive pickling
            raise ShardError(what, where=where, found=found, fix=fix) from error

    def _path(self, name: str) -> str:
        filesystem = self._filesystem()
        root = str(filesystem._strip_protocol(self.url)).rstrip("/")
        return f"{root}/{name}" if name else root

    def _filesystem(self) -> Any:
        if not self._connected:
            self._connected.append(_connect(self.url, self._scheme))
        return self._connected[0]

    def __getstate__(self) -> dict[str, object]:
        return {"url": self.url, "_connected": []}


def _remote_file(info: dict[str, Any]) -> RemoteFile:
    version = next((str(info[name]) for name in VERSION_FIELDS if info.get(name)), "")
    digest = hashlib.blake2b(version.encode(), digest_size=8).digest()
    etag = str(info.get("ETag") or "").strip('"')
    return RemoteFile(size=int(info["size"]), stamp=int.from_bytes(digest, "little", signed=True), etag=etag)


def _connect(url: str, scheme: str) -> Any:
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.filesystem(scheme, skip_instance_cache=True)  # a cached one keeps an old endpoint
    except ImportError:
        package = "s3fs" if scheme == "s3" else f"fsspec with {scheme} support"
        raise missing_package(package, f"{scheme}:// URLs", extra=EXTRA) from None
    except ValueError:
        raise ShardError("unknown kind of URL", where=url, expected="s3://, gs://, http:// or a path") from None
