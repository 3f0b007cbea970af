"""Folders of pictures: which folders are splits, which are classes, and which only hold the pictures.

What their names leave open is refused with the flag that decides, `--layout`, because a wrong guess loses labels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shards.errors import ShardError
from shards.sources.base import Source
from shards.sources.class_tars import ClassTars, are_class_tars
from shards.sources.folders import LAYOUT_FIX, ClassFolders, FlatFolder, has_pictures, num_pictures_in, subfolders
from shards.sources.tar_samples import LabelField
from shards.sources.tar_splits import SPLIT_WORDS, TEST, TRAIN, VALIDATION, Note, split_of, split_tars, tars_in
from shards.sources.webdataset import WebDatasetTars

Layout = Literal["auto", "classes", "flat"]
Splits = dict[str, Source]

CONTAINERS = frozenset(
    {"images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "jpegs", "jpg", "files", "data"}
)
BESIDE_PICTURES = frozenset({"annotations", "masks", "labels", "segmentations", "trimaps", "thumbnails"})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person decides where looks could mislead.

    Attributes:
        layout: whether the folders right below are classes; auto goes by their names.
        include: pattern for the names of tars and parquet files; None takes all.
        label_field: where tars hold their labels; None looks for `cls` members.
    """

    layout: Layout = "auto"
    include: str | None = None
    label_field: LabelField | None = None


def folder_of_tars(folder: Path, choice: Choice, note: Note, *, like: Path | None = None) -> Splits:
    """The tars right in a folder as shards by split, or as classes; empty where there are none."""
    tars = tars_in(folder, choice.include)
    if not tars:
        return {}
    has_splits = len({split_of(tar.stem) for tar in tars}) > 1
    if not has_splits and choice.label_field is None and are_class_tars(tars):
        if choice.include is not None:
            raise ShardError("a class tar would be left out", where="--include", found=f"class tars in {folder}")
        return {"": ClassTars(root=folder, like=like)}
    groups = split_tars(folder, tars, is_chosen=choice.include is not None, note=note)
    return {split: WebDatasetTars(tars=group, label_field=choice.label_field) for split, group in groups.items()}


def folder_of_pictures(path: Path, choice: Choice, note: Note) -> Splits:
    """The splits of a folder of pictures; a source without a split has the key "".

    Raises:
        ShardError: the folders below are neither clearly classes nor clearly splits.
    """
    if choice.layout == "auto" and (found := split_folders(path, choice, note)):
        return found
    return {"": pictures_in_folder(path, choice, note)}


def split_folders(path: Path, choice: Choice, note: Note) -> Splits:
    """Sources of the folders named like splits; empty unless all with pictures are, or training and another are."""
    named, others = defaultdict[str, list[str]](list), list[str]()
    for name in sorted(subfolders(path)):
        if split := SPLIT_WORDS.get(name.lower()):
            if _has_anything(path / name):
                named[split].append(name)
        elif _has_anything(path / name):
            others.append(name)
    if not named or (others and (TRAIN not in named or len(named) == 1)):
        return {}
    _say_left_out(path, others, note)
    folders = _one_folder_each(path, named)
    splits: Splits = {}
    like: Path | None = None
    for split in (TRAIN, VALIDATION, TEST):
        if split in folders:
            source = _split_source(folders[split], choice, note, like)
            if split == TRAIN and isinstance(source, ClassFolders | ClassTars):
                like = source.root
            splits[split] = source
    return _with_validation(path, splits, note)


def pictures_in_folder(path: Path, choice: Choice, note: Note, like: Path | None = None) -> Source:
    """Class folders or a flat folder, by the layout asked for or by the names below."""
    below = [name for name in sorted(subfolders(path)) if has_pictures(path / name)]
    num_beside = num_pictures_in(path)
    if choice.layout == "flat" or not below:
        return FlatFolder(root=path)
    if choice.layout == "auto":
        if num_beside:
            found = f"{num_beside:,} beside {_some(below)}"
            raise ShardError("pictures beside folders of pictures", where=path, found=found, fix=LAYOUT_FIX)
        if (inner := _container(path, below)) is not None:
            note(f"{path / inner} is taken for the folder of all pictures, not for a class; --layout classes if it is")
            return pictures_in_folder(path / inner, choice, note, like)
        if len(below) == 1 and like is None:
            note(f"one class alone, {below[0]}; if its own folders are the classes, give {path / below[0]}")
    elif num_beside:
        note(f"{num_beside:,} pictures beside the class folders in {path} are left out")
    return ClassFolders(root=path, like=like)


def _split_source(folder: Path, choice: Choice, note: Note, like: Path | None) -> Source:
    tars = folder_of_tars(folder, choice, note, like=like)
    if len(tars) > 1:
        found, fix = f"tars of {' and '.join(tars)}", f"give {folder} itself"
        raise ShardError("a folder of one split holds tars of several", where=folder, found=found, fix=fix)
    return next(iter(tars.values())) if tars else pictures_in_folder(folder, choice, note, like)


def _with_validation(path: Path, splits: Splits, note: Note) -> Splits:
    """The test split stands in for a validation split that is missing, if it is of the training split's kind."""
    is_alike = TRAIN in splits and TEST in splits and type(splits[TEST]) is type(splits[TRAIN])
    if is_alike and VALIDATION not in splits:
        note(f"{path} has no validation folder: its test folder is taken for that")
        splits[VALIDATION] = splits.pop(TEST)
    return splits


def _one_folder_each(path: Path, named: dict[str, list[str]]) -> dict[str, Path]:
    for split, names in named.items():
        if len(names) > 1:
            fix = "move one away, or give each by itself"
            raise ShardError(f"two folders for the {split} split", where=path, found=" and ".join(names), fix=fix)
    return {split: path / names[0] for split, names in named.items()}


def _say_left_out(path: Path, others: list[str], note: Note) -> None:
    if others:
        note(f"{_some(others)} in {path} are of no split and left out")
    if num_beside := num_pictures_in(path):
        note(f"{num_beside:,} pictures beside the split folders in {path} are left out")


def _container(path: Path, below: list[str]) -> str | None:
    """The folder that only holds the pictures, if the names tell. Raises `ShardError` where they contradict."""
    inner = next((name for name in below if name.lower() in CONTAINERS), None)
    others = [name for name in below if name != inner and name.lower() not in BESIDE_PICTURES]
    if inner is not None and others:
        found = f"{inner} beside {_some(others)}"
        fix = f"give {path / inner} if the others are no pictures to train on; {LAYOUT_FIX}"
        raise ShardError("folders that are hardly all classes", where=path, found=found, fix=fix)
    return inner


def _has_anything(folder: Path) -> bool:
    return has_pictures(folder) or any(folder.glob("*.tar"))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
