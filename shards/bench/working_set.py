"""The pictures that a bench works on: sound JPEGs of the user's or drawn ones, copied until there are enough.

Real copies, because tar stores a hard link as a link; and no two of equal bytes, because a build looks for those: each
copy carries its number in a comment segment, which no decoder looks at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shards.demo.picture import CLASSES, draw_jpeg
from shards.errors import ShardError
from shards.pictures.inspect import inspect
from shards.pictures.jpeg import segments
from shards.sources.folders import FlatFolder

ENOUGH = 32_768
NUM_DRAWN = 256
COMMENT = b"\xff\xfe"


@dataclass(frozen=True, kw_only=True)
class WorkingSet:
    """Class folders below `root`. `copies` are lists of files that each have the whole mixture of pictures."""

    root: Path
    copies: list[list[Path]]

    def part(self, share: float) -> list[Path]:
        """The files of about this share of the copies, one copy at least."""
        return [path for copy in self.copies[: max(1, round(share * len(self.copies)))] for path in copy]


def make_working_set(src: Path | None, root: Path, *, num_copies: int | None) -> WorkingSet:
    """Write the set into `root`, from the pictures of a folder or, without one, from drawn ones.

    Without `num_copies` there are as many as make about 32,000 pictures, and of a larger folder an even sample.

    Raises:
        ShardError: the folder holds no sound JPEG, or the disk is too small for the set and two tars of it.
    """
    found = _sound_jpegs(src, limit=None if num_copies else ENOUGH) if src else _drawn()
    first = [_write(root, number, label, content) for number, (label, content) in enumerate(found)]
    if not first:
        raise ShardError("no JPEG without trouble", where=src, fix="name a folder of pictures, or none to draw some")
    num_copies = num_copies or max(1, round(ENOUGH / len(first)))
    _check_space(root, 3 * num_copies * sum(path.stat().st_size for path in first))
    return WorkingSet(root=root, copies=[first, *([_copy(path, n) for path in first] for n in range(1, num_copies))])


def with_comment(content: bytes, text: bytes) -> bytes:
    """A JPEG with a comment segment before its first scan."""
    *_, (_, scan, _) = segments(content)
    return content[:scan] + COMMENT + (len(text) + 2).to_bytes(2, "big") + text + content[scan:]


def _sound_jpegs(src: Path, limit: int | None) -> Iterator[tuple[int, bytes]]:
    """(label, content); the label numbers the folder that the file is in."""
    listing, _ = FlatFolder(root=src).scan()
    step = -(-len(listing) // limit) if limit else 1
    paths = [src / listing.names[row] for row in range(0, len(listing), step)]
    labels = {folder: label for label, folder in enumerate(sorted({path.parent for path in paths}))}
    for path in paths:
        seen = inspect(content := path.read_bytes(), path.name)
        if seen.suffix == "jpg" and not seen.findings:
            yield labels[path.parent], content


def _drawn() -> Iterator[tuple[int, bytes]]:
    for number in range(NUM_DRAWN):
        label = number % len(CLASSES)
        yield label, draw_jpeg(label, (0, number))


def _write(root: Path, number: int, label: int, content: bytes) -> Path:
    path = root / f"class_{label:04d}" / f"{number:07d}_00000.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _copy(path: Path, copy: int) -> Path:
    target = path.with_name(f"{path.stem[:-5]}{copy:05d}.jpg")
    target.write_bytes(with_comment(path.read_bytes(), b"%05d" % copy))
    return target


def _check_space(root: Path, needed: int) -> None:
    if (free := shutil.disk_usage(root).free) < needed:
        fix = "lower --copies, or choose another disk with --folder"
        raise ShardError(
            "not enough free space",
            where=root,
            found=f"{free / 1e9:.1f} GB",
            expected=f"{needed / 1e9:.1f} GB",
            fix=fix,
        )
