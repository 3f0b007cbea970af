"""Where a shard set lies: a folder of this machine, or a URL through fsspec. The work on a set knows only the store."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from shards.errors import ShardError, missing_package
from shards.host.atomic import temporary_beside, write_whole

EXTRA = "remote"
WITH_FOLDERS = frozenset({"file", "local", "sftp", "ssh", "smb", "ftp", "hdfs", "memory"})
S3_PART_BYTES = 50 << 20
VERSION_FIELDS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")  # names differ by store


class StoredFile(NamedTuple):
    """A file of a store: its size in bytes, a number that differs when it has been replaced, and its ETag or ""."""

    size: int
    stamp: int
    etag: str


class Store(Protocol):
    """Files by their names relative to one place.

    Every method raises `UserError` when the package for a URL's scheme is missing, and all but `read` raise
    `ShardError` when a store at a URL refuses, OSError when this machine does.
    """

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, if it is one."""
        ...

    def place(self, name: str = "") -> str:
        """Where a file is, or the store itself, for a person."""
        ...

    def below(self, name: str) -> Store:
        """The store of a folder in this one; itself for the name ""."""
        ...

    def look(self, name: str) -> StoredFile | None:
        """A file as it is now, or None when it is not there."""
        ...

    def find(self, *folders: str) -> dict[str, StoredFile]:
        """Every file right here and in these folders as it is now, and others where a store lists all at once."""
        ...

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises OSError when they cannot be had, as a source's reader must."""
        ...

    def read_from(self, name: str, start: int, num_bytes: int | None = None) -> bytes:
        """A part of a file, or all from `start` on; short or empty at its end."""
        ...

    def put(self, local: Path, name: str) -> None:
        """Copy a local file to this store."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...


def is_url(place: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in place


def store_at(place: str | Path) -> Store:
    """The store at a path or a URL."""
    return UrlStore(url=str(place).rstrip("/")) if is_url(str(place)) else FolderStore(folder=Path(place))


@dataclass(frozen=True, kw_only=True)
class FolderStore:
    """A folder of this machine, in which files appear whole."""

    folder: Path

    def place(self, name: str = "") -> str:
        return str(self.folder / name)

    def below(self, name: str) -> FolderStore:
        return FolderStore(folder=self.folder / name)

    def look(self, name: str) -> StoredFile | None:
        path = self.folder / name
        return _local_file(path) if path.is_file() else None

    def find(self, *folders: str) -> dict[str, StoredFile]:
        """Beside a set there may be anything, so no other folder is looked into."""
        inside = [path for path in (self.folder / name for name in ("", *folders)) if path.is_dir()]
        files = (path for folder in inside for path in folder.iterdir() if path.is_file())
        return {str(path.relative_to(self.folder)): _local_file(path) for path in files}

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def read_from(self, name: str, start: int, num_bytes: int | None = None) -> bytes:
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(-1 if num_bytes is None else num_bytes)

    def put(self, local: Path, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        shutil.copyfile(local, temporary)
        temporary.replace(path)

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)

    def remove(self, name: str) -> None:
        """A folder within goes with its last file, as it does at a URL."""
        path = self.folder / name
        path.unlink()
        if path.parent != self.folder and not any(path.parent.iterdir()):
            path.parent.rmdir()


@dataclass(frozen=True, kw_only=True)
class UrlStore:
    """A folder on some file system; picklable, connects when first used."""

    url: str
    folder = None
    _connected: list[Any] = field(default_factory=list, repr=False, compare=False)

    def place(self, name: str = "") -> str:
        return f"{self.url}/{name}" if name else self.url

    def below(self, name: str) -> UrlStore:
        return UrlStore(url=self.place(name))

    def read(self, name: str) -> bytes:
        filesystem = self._filesystem()
        try:
            content: bytes = filesystem.cat_file(self._path(name))
        except OSError:
            raise
        except Exception as error:  # every kind of store has errors of its own
            raise OSError(f"{self.place(name)}: {error}") from error
        return content

    def read_from(self, name: str, start: int, num_bytes: int | None = None) -> bytes:
        filesystem, end = self._filesystem(), None if num_bytes is None else start + num_bytes
        with self._said("cannot be read", name):
            content: bytes = filesystem.cat_file(self._path(name), start=start, end=end)
        return content

    def look(self, name: str) -> StoredFile | None:
        filesystem = self._filesystem()
        with self._said("cannot be looked at", name):
            try:
                filesystem.invalidate_cache()
                return _remote_file(filesystem.info(self._path(name)))
            except FileNotFoundError as error:
                _refuse_silence(error)
                return None

    def put(self, local: Path, name: str) -> None:
        options = {"chunksize": S3_PART_BYTES} if self._scheme == "s3" else {}
        with self._said("cannot be written", name):
            self._make_parent(name).put_file(str(local), self._path(name), **options)

    def write(self, name: str, content: bytes) -> None:
        with self._said("cannot be written", name):
            self._make_parent(name).pipe_file(self._path(name), content)

    def remove(self, name: str) -> None:
        filesystem = self._filesystem()
        with self._said("cannot be removed", name):
            filesystem.rm_file(self._path(name))

    def find(self, *folders: str) -> dict[str, StoredFile]:
        """All files below, since one request lists them."""
        filesystem, root = self._filesystem(), self._path("")
        with self._said("cannot be listed", ""):
            filesystem.invalidate_cache()
            found = filesystem.find(root, detail=True)
            if not found and self._scheme in ("http", "https"):
                self._ask(root)
        return {path.removeprefix(root).lstrip("/"): _remote_file(info) for path, info in found.items()}

    def _ask(self, root: str) -> None:
        """Raise what fsspec keeps to itself when it lists pages: that nobody answers."""
        try:
            self._filesystem().info(root)
        except FileNotFoundError as error:
            _refuse_silence(error)

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0]

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
            fix = "check the address, the credentials and that the bucket exists"
            found = str(error) or type(error).__name__  # the text: not all of these errors survive pickling
            raise ShardError(what, where=self.place(name), found=found, fix=fix) from error

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


def _refuse_silence(error: FileNotFoundError) -> None:
    """Raise the cause where a file was not found because no server answered, which fsspec does not tell apart."""
    if error.__cause__ is not None and getattr(error.__cause__, "status", None) is None:
        raise error.__cause__


def _local_file(path: Path) -> StoredFile:
    status = path.stat()
    return StoredFile(size=status.st_size, stamp=status.st_mtime_ns, etag="")


def _remote_file(info: dict[str, Any]) -> StoredFile:
    version = next((str(info[name]) for name in VERSION_FIELDS if info.get(name)), "")
    digest = hashlib.blake2b(version.encode(), digest_size=8).digest()
    etag = str(info.get("ETag") or "").strip('"')
    return StoredFile(size=int(info["size"]), stamp=int.from_bytes(digest, "little", signed=True), etag=etag)


def _connect(url: str, scheme: str) -> Any:
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.filesystem(scheme, skip_instance_cache=True)  # a cached one keeps an old endpoint
    except ImportError:
        package = "s3fs" if scheme == "s3" else f"fsspec with {scheme} support"
        raise missing_package(package, f"{scheme}:// URLs", extra=EXTRA) from None
    except ValueError:
        raise ShardError("unknown kind of URL", where=url, expected="s3://, gs://, http:// or a path") from None
