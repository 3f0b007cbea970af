"""Archives with published checksums, compared before a long build starts: a damaged download is found in minutes.

The sums are those that image-net.org published for ILSVRC2012, md5 as there; an archive is known by its file name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from shards.errors import ShardError
from shards.sources.base import Source
from shards.sources.class_tars import ClassTars
from shards.sources.ilsvrc_train import NestedTar
from shards.sources.ilsvrc_validation import FlatTar
from shards.sources.parquet import ParquetFiles
from shards.sources.webdataset import WebDatasetTars

PUBLISHED_MD5 = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
}
CHUNK = 1 << 22
FIRST_NAMES = 3


def archives_of(source: Source) -> tuple[Path, ...]:
    """The files that a source reads its pictures and labels from; none for folders and URLs."""
    match source:
        case NestedTar(path=path):
            return (path,)
        case FlatTar(path=path, labels=labels):
            return (path,) if labels is None else (path, labels)
        case ClassTars() | WebDatasetTars():
            return source.reader().containers
        case ParquetFiles(files=files):
            return files
    return ()


def is_known(archive: Path) -> bool:
    """Whether a checksum is published for an archive of this name."""
    return archive.name in PUBLISHED_MD5


def verify(archive: Path, *, on_bytes: Callable[[int], None]) -> None:
    """Compare a known archive with its published md5. `on_bytes` is told how many bytes were read since last time.

    Raises:
        ShardError: it differs, naming the file, the sum found and the one expected.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with archive.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            on_bytes(len(chunk))
    if (found := digest.hexdigest()) != (expected := PUBLISHED_MD5[archive.name]):
        fix = "the download is damaged or of another version: fetch the file again"
        raise ShardError("md5 is not the published one", where=archive, found=found, expected=expected, fix=fix)


def unknown_lines(archives: Iterable[Path]) -> Iterator[str]:
    """A line that names the archives for which no checksum is published, if there are any."""
    names = [archive.name for archive in archives if not is_known(archive)]
    if names:
        more = f" and {len(names) - FIRST_NAMES:,} more" if len(names) > FIRST_NAMES else ""
        yield f"not checked, no md5 is published for a file of that name: {', '.join(names[:FIRST_NAMES])}{more}"
