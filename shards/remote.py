"""Places given as URLs, through fsspec: s3://bucket/folder, gs://..., or a plain path."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shards.errors import ShardError, missing_package

EXTRA = "remote"
VERSION_FIELDS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")  # names differ by store


def is_url(place: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in place


class RemoteFile(NamedTuple):
    """A file at a URL: its size in bytes, and a number that differs when it has been replaced."""

    size: int
    stamp: int


@dataclass(frozen=True, kw_only=True)
class RemoteFolder:
    """A folder on some file system; picklable, connects when first used.

    Every method raises `UserError` when the package for the URL's scheme is missing.
    """

    url: str
    _connected: list[Any] = field(default_factory=list, repr=False, compare=False)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises OSError when it is not there."""
        content: bytes = self._filesystem().cat_file(self._path(name))
        return content

    def read_from(self, name: str, start: int, num_bytes: int) -> bytes:
        """A part of a file; short or empty at its end."""
        content: bytes = self._filesystem().cat_file(self._path(name), start=start, end=start + num_bytes)
        return content

    def size(self, name: str) -> int | None:
        """A file's size in bytes, or None when it is not there."""
        filesystem = self._filesystem()
        try:
            return int(filesystem.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    def put(self, local: str, name: str) -> None:
        """Copy a local file to this folder."""
        self._filesystem().put_file(local, self._path(name))

    def find(self) -> dict[str, RemoteFile]:
        """Every file below, by its name relative to the folder."""
        filesystem = self._filesystem()
        root = self._path("")
        found = filesystem.find(root, detail=True)
        return {path.removeprefix(root).lstrip("/"): _remote_file(info) for path, info in found.items()}

    def _path(self, name: str) -> str:
        filesystem = self._filesystem()
        root = str(filesystem._strip_protocol(self.url)).rstrip("/")
        return f"{root}/{name}" if name else root

    def _filesystem(self) -> Any:
        if not self._connected:
            self._connected.append(_connect(self.url))
        return self._connected[0]

    def __getstate__(self) -> dict[str, object]:
        return {"url": self.url, "_connected": []}


def _remote_file(info: dict[str, Any]) -> RemoteFile:
    version = next((str(info[name]) for name in VERSION_FIELDS if info.get(name)), "")
    digest = hashlib.blake2b(version.encode(), digest_size=8).digest()
    return RemoteFile(size=int(info["size"]), stamp=int.from_bytes(digest, "little", signed=True))


def _connect(url: str) -> Any:
    scheme = url.partition("://")[0] if is_url(url) else "file"
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.filesystem(scheme, skip_instance_cache=True)  # a cached one keeps an old endpoint
    except ImportError:
        package = "s3fs" if scheme == "s3" else f"fsspec with {scheme} support"
        raise missing_package(package, f"{scheme}:// URLs", extra=EXTRA) from None
    except ValueError:
        raise ShardError("unknown kind of URL", where=url, expected="s3://, gs://, http:// or a path") from None
