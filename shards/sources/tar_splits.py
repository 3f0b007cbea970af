"""Which tars of one folder belong together: training and validation tars often lie side by side.

timm's `_info.json` says it; where there is none, the words in the file names do. What neither tells is refused, since a
set of both would train on its validation pictures in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from shards.errors import ShardError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
INFO_NAMES = ("_info.json", "info.json")
INCLUDE_FIX = "choose with --include GLOB, such as --include 'train-*'"
FIRST_NAMES = 3

Note = Callable[[str], None]
Groups = dict[str, tuple[Path, ...]]
Info = dict[str, tuple[str, ...]]  # file names by split


def tars_in(folder: Path, include: str | None) -> tuple[Path, ...]:
    """The tars right in a folder, sorted by name; `include`, if given, is a pattern that their names must fit.

    Raises:
        ShardError: there are tars and none fits.
    """
    tars = tuple(sorted(tar for tar in folder.glob("*.tar") if tar.is_file()))
    chosen = tuple(tar for tar in tars if include is None or fnmatch(tar.name, include))
    if tars and not chosen:
        raise ShardError("fits no tar", where="--include", found=include, expected=f"one like {tars[0].name}")
    return chosen


def split_tars(folder: Path, tars: tuple[Path, ...], *, is_chosen: bool, note: Note) -> Groups:
    """The tars of a folder by split; those of a single one have the key "".

    Args:
        folder: where they lie, and `_info.json` may.
        tars: in order.
        is_chosen: whether some were left out on purpose.
        note: told what a person should know.

    Raises:
        ShardError: some tars are of a split and others of none.
    """
    info = read_info(folder)
    if info and not is_chosen:
        _note_missing(folder, info, {tar.name for tar in tars}, note)
    groups = split_names([tar.name for tar in tars], info, where=folder)
    return {split: tuple(folder / name for name in names) for split, names in groups.items()}


def split_names(names: Sequence[str], info: Info, *, where: object) -> dict[str, tuple[str, ...]]:
    """The names of tars by split; those of a single one have the key "".

    Args:
        names: of files, which may have folders in front.
        info: what `_info.json` says, if anything.
        where: the place that an error names.

    Raises:
        ShardError: some are of a split and others of none.
    """
    listed = {name: split for split, files in info.items() for name in files}
    is_listed = any(name in listed for name in names)
    splits = {name: listed.get(name) if is_listed else split_of(name.removesuffix(".tar")) for name in names}
    known = sorted({split for split in splits.values() if split is not None}, key=_place_of)
    if known and (stray := [name for name, split in splits.items() if split is None]):
        found = f"{_some(stray)} beside tars of {' and '.join(known)}"
        raise ShardError("tars of more than one set", where=where, found=found, fix=INCLUDE_FIX)
    if len(known) < 2:
        return {"": tuple(names)}
    return {split: tuple(name for name in names if splits[name] == split) for split in known}


def split_of(stem: str) -> str | None:
    """The split that the words in a name tell, or None where there is no such word or more than one."""
    found = {SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", stem.lower()) if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def read_info(folder: Path) -> Info:
    """File names by split as timm's `_info.json` lists them, by our names for splits; empty where there is none.

    Raises:
        ShardError: two splits are to have one name or one file.
    """
    path = next((folder / name for name in INFO_NAMES if (folder / name).is_file()), None)
    return {} if path is None else parse_info(path.read_bytes(), where=path)


def parse_info(content: bytes, *, where: object) -> Info:
    """See `read_info`; JSON of any other kind gives nothing."""
    try:
        fields: Any = json.loads(content)
    except ValueError as error:
        raise ShardError("not JSON", where=where, found=error, fix="fetch it again") from None
    listed = fields.get("splits") if isinstance(fields, dict) else None
    if not isinstance(listed, dict):
        return {}
    splits = dict[str, tuple[str, ...]]()
    for name, split in listed.items():
        files = split.get("filenames") if isinstance(split, dict) else None
        if isinstance(files, list) and files:
            ours = SPLIT_WORDS.get(str(name).lower(), str(name))
            if not re.fullmatch(r"\w[\w.-]*", ours):  # it becomes a folder's
                raise ShardError("a split whose name is none for a folder", where=where, found=repr(name))
            if ours in splits:
                raise ShardError("names a split twice", where=where, found=f"{name}, taken for {ours}")
            splits[ours] = tuple(str(file) for file in files)
    every = [file for files in splits.values() for file in files]
    if twice := sorted({file for file in every if every.count(file) > 1} if len(set(every)) < len(every) else ()):
        raise ShardError("names a file in two splits", where=where, found=twice[0])
    return splits


def _note_missing(folder: Path, info: dict[str, tuple[str, ...]], there: set[str], note: Note) -> None:
    for split, files in info.items():
        if missing := [name for name in files if name not in there]:
            note(
                f"{split}: {len(missing):,} of {len(files):,} tars in _info.json are not in {folder}: {_some(missing)}"
            )


def _place_of(split: str) -> tuple[int, str]:
    order = (TRAIN, VALIDATION, TEST)
    return (order.index(split) if split in order else len(order), split)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - FIRST_NAMES:,} more" if len(names) > FIRST_NAMES else ""
    return f"{', '.join(names[:FIRST_NAMES])}{more}"
