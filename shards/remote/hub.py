"""Data sets of the Hugging Face hub: what files there are with their checksums, and each file's bytes, resumed.

`huggingface_hub` gives the address, the token and the listing. The bytes come by plain requests with ranges: its own
downloads begin a file anew when the process did.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shards.errors import ShardError, missing_package
from shards.host.atomic import sync_folder

PART = ".part"
CHUNK = 1 << 20
TRIES, FIRST_PAUSE = 6, 1.0  # seconds, doubled after each
TIMEOUT_SECONDS = 60
PLACE = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/?")


class HubFile(NamedTuple):
    """A file of a data set: its name in it, its size in bytes, and the sha256 of a large one or git's sha1, in hex."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """A data set at one commit."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]

    def read(self, file: HubFile) -> bytes:
        """A small file's bytes. Raises as `fetch` does."""
        with _said(self.repo), _get(self, file, 0) as response:
            content: bytes = response.read()
        _check(file, _Sums.of(file).fed(content), where=f"{self.repo}/{file.name}")
        return content

    def fetch(self, file: HubFile, path: Path, *, on_bytes: Callable[[int], None]) -> bool:
        """Have a file at `path`, going on from a part that is there; returns whether anything was fetched.

        A file takes its name when its checksum is right, so one of the right name and size is whole.

        Raises:
            ShardError: the hub refuses or does not answer, or the bytes have another checksum.
        """
        if path.is_file() and path.stat().st_size == file.size:
            on_bytes(file.size)
            return False
        part = path.with_name(f"{path.name}{PART}")
        sums = _Sums.of(file)
        with part.open("a+b") as target:
            if target.tell() > file.size:
                target.truncate(0)
            target.seek(0)
            while chunk := target.read(CHUNK):
                sums.fed(chunk)
                on_bytes(len(chunk))
            with _said(self.repo):
                for chunk in _rest(self, file, target.tell()):
                    target.write(chunk)
                    sums.fed(chunk)
                    on_bytes(len(chunk))
            target.flush()
            os.fsync(target.fileno())
        try:
            _check(file, sums, where=f"{self.repo}/{file.name}")
        except ShardError:
            part.unlink()
            raise
        part.replace(path)
        sync_folder(path.parent)
        return True


def open_dataset(place: str, *, revision: str | None = None) -> HubDataset:
    """The data set at `hf://datasets/OWNER/NAME`, which may end in `@REVISION`.

    Raises:
        ShardError: it is no such address, does not exist, or its terms were not accepted.
        UserError: huggingface_hub is not installed.
    """
    match = PLACE.fullmatch(place)
    if match is None:
        fix = "python -m shards stage URL DIR copies a set of ours from anywhere"
        raise ShardError("not a data set of the hub", where=place, expected="hf://datasets/OWNER/NAME", fix=fix)
    repo, hub = match["repo"], _hub()
    with _said(repo):
        info = hub.HfApi(endpoint=_endpoint()).dataset_info(
            repo, revision=revision or match["revision"], files_metadata=True, timeout=TIMEOUT_SECONDS
        )
    files = [
        HubFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else None, None if f.lfs else f.blob_id)
        for f in info.siblings or ()
    ]
    return HubDataset(repo=repo, commit=str(info.sha), files=tuple(sorted(files)))


class _Sums:
    """Checksums and bytes, counted while they pass."""

    def __init__(self, size: int) -> None:
        self.num_bytes, self.sha256 = 0, hashlib.sha256()
        self.git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    @classmethod
    def of(cls, file: HubFile) -> _Sums:
        return cls(file.size)

    def fed(self, chunk: bytes) -> _Sums:
        self.num_bytes += len(chunk)
        self.sha256.update(chunk)
        self.git_sha1.update(chunk)
        return self


def _check(file: HubFile, sums: _Sums, *, where: str) -> None:
    found, expected = (
        (sums.sha256.hexdigest(), file.sha256) if file.sha256 else (sums.git_sha1.hexdigest(), file.git_sha1)
    )
    if sums.num_bytes != file.size or (expected is not None and found != expected):
        fix = "run it again; if it stays, the file at the hub is damaged"
        short = f"{sums.num_bytes:,} bytes of {found[:12]}"
        raise ShardError(
            "arrived with another checksum",
            where=where,
            found=short,
            expected=f"{file.size:,} bytes of {str(expected)[:12]}",
            fix=fix,
        )


def _rest(dataset: HubDataset, file: HubFile, start: int) -> Iterator[bytes]:
    """The bytes of a file from `start` on; a broken connection is made anew a few times."""
    httpx, pause = _http(), FIRST_PAUSE
    for attempt in range(TRIES):
        if start >= file.size:
            return
        try:
            with _get(dataset, file, start) as response:
                for chunk in response.iter_bytes():  # as they arrive, so that a break loses none
                    start += len(chunk)
                    yield chunk
        except httpx.TransportError:
            if attempt == TRIES - 1:
                raise
            time.sleep(pause)
            pause *= 2


@contextmanager
def _get(dataset: HubDataset, file: HubFile, start: int) -> Iterator[Any]:
    hub, utils = _hub(), importlib.import_module("huggingface_hub.utils")
    url = hub.hf_hub_url(dataset.repo, file.name, repo_type="dataset", revision=dataset.commit, endpoint=_endpoint())
    headers = utils.build_hf_headers() | ({"Range": f"bytes={start}-"} if start else {})
    session = utils.get_session()
    with session.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as response:
        if response.is_error:
            response.read()
        utils.hf_raise_for_status(response)
        if start and response.status_code != 206:
            raise ShardError("the hub does not go on within a file", where=url, found=f"status {response.status_code}")
        yield response


@contextmanager
def _said(repo: str) -> Iterator[None]:
    """Turn what the hub refuses into a line that says what to do."""
    errors, httpx = importlib.import_module("huggingface_hub.errors"), _http()
    where = f"hf://datasets/{repo}"
    login = "then log in: hf auth login, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError:
        fix = f"accept them at https://huggingface.co/datasets/{repo}, {login}"
        raise ShardError("its owner asks you to accept terms first", where=where, fix=fix) from None
    except errors.RepositoryNotFoundError:
        fix = f"check the name; if it is private, {login.removeprefix('then ')}"
        raise ShardError("no such data set, or none that you may see", where=where, fix=fix) from None
    except errors.RevisionNotFoundError:
        raise ShardError("no such revision", where=where, fix="check --revision") from None
    except errors.HfHubHTTPError as error:
        found = " ".join(str(error).split())[:200]
        raise ShardError("the hub refuses", where=where, found=found, fix="run it again later: it goes on") from None
    except (httpx.HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of this machine
        found = str(error) or type(error).__name__
        fix = "check the connection and HF_ENDPOINT, then run it again: it goes on where it was"
        raise ShardError("the hub does not answer", where=where, found=found, fix=fix) from None


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _http() -> Any:
    """The package of the session's class: httpx or its successor, by the version of huggingface_hub."""
    session = importlib.import_module("huggingface_hub.utils").get_session()
    return importlib.import_module(type(session).__module__.partition(".")[0])


def _hub() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise missing_package("huggingface_hub", "hf:// addresses", extra="remote") from None
