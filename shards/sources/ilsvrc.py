"""What is known of ImageNet (ILSVRC2012): its archives and their checksums, its classes, pictures and oddities.

The checksums are those that image-net.org published, md5 as there; comparing them before a long build finds a damaged
download in minutes. What a build found is compared with the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from shards.errors import ShardError
from shards.pictures.troubles import Trouble
from shards.sources.base import Source
from shards.sources.class_tars import ClassTars, NestedTar
from shards.sources.flat_tar import FlatTar
from shards.sources.hf_rows import ParquetFiles
from shards.sources.listing import Listing
from shards.sources.webdataset import WebDatasetTars

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
DEVKIT_PATTERN = "ILSVRC2012_devkit*"
PUBLISHED_MD5 = {
    TRAIN_ARCHIVE: "1d675b47d978889d74fa0da5fadfb00e",
    VALIDATION_ARCHIVE: "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
}
NUM_CLASSES = 1000
PICTURES = {"train": 1_281_167, "validation": 50_000}
ODDITIES = {  # 22 CMYK files and n02105855_2933.JPEG, a PNG, in train; ILSVRC2012_val_00019877.JPEG is CMYK
    "train": {Trouble.CMYK: 22, Trouble.MISNAMED: 1},
    "validation": {Trouble.CMYK: 1, Trouble.MISNAMED: 0},
}
CHUNK = 1 << 22
FIRST_NAMES = 3


def archives_of(source: Source) -> tuple[Path, ...]:
    """The files that a source reads its pictures and labels from; none for folders and URLs."""
    match source:
        case FlatTar(path=path, labels=labels):
            return (path,) if labels is None else (path, labels)
        case NestedTar() | ClassTars() | WebDatasetTars():
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


def expectation_lines(listing: Listing, troubles: Mapping[Trouble, int]) -> list[str]:
    """One line per expectation, met or not; empty for sets that do not have ImageNet's WordNet ids, or few of them."""
    classes = listing.classes
    if len(classes) < NUM_CLASSES // 2 or not all(re.fullmatch(r"n\d{8}", name) for name in classes):
        return []
    split = min(PICTURES, key=lambda name: abs(PICTURES[name] - len(listing)))
    expectations = [
        ("classes", len(classes), NUM_CLASSES),
        (f"{split} pictures", len(listing), PICTURES[split]),
        *((f"{trouble} pictures", troubles.get(trouble, 0), number) for trouble, number in ODDITIES[split].items()),
    ]
    return [
        f"ILSVRC2012 {what}: found {found:,}, expected {expected:,}{'' if found == expected else '  DIFFERS'}"
        for what, found, expected in expectations
    ]
