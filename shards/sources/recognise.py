"""Finding out which kind of source a path is: each recogniser looks for one kind's marks and answers or passes on."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from shards.errors import ShardError
from shards.remote.places import is_url
from shards.sources.base import Source
from shards.sources.class_tars import ClassTars, NestedTar, are_class_tars, first_names
from shards.sources.flat_tar import FlatTar
from shards.sources.folders import ClassFolders, FlatFolder, has_pictures, is_picture, subfolders
from shards.sources.hf_rows import INFO_NAME, STATE_NAME, ArrowFolder, ParquetFiles
from shards.sources.ilsvrc import DEVKIT_PATTERN, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from shards.sources.remote_folder import RemotePictures
from shards.sources.webdataset import WebDatasetTars

TRAIN = "train"
VALIDATION = "validation"
VALIDATION_NAMES = ("validation", "val", "valid", "test")

Splits = dict[str, Source]


def recognise(place: str | Path, *, labels: Path | None = None) -> Splits:
    """The sources in a folder, an archive or at a URL, by split; one source without a split has the key "".

    `labels` is for a flat tar: a devkit archive or a list of classes.

    Raises:
        ShardError: the place does not exist, is of no kind that can be read, or has no use for `labels`.
    """
    remote: Splits = {"": RemotePictures(url=str(place))} if is_url(str(place)) else {}
    splits = remote or _recognise_path(Path(place), labels)
    if labels is not None and not any(isinstance(source, FlatTar) for source in splits.values()):
        found = " and ".join(source.description for source in splits.values())
        raise ShardError("only a flat tar takes labels from a file", where="--labels", found=found)
    return splits


def _recognise_path(path: Path, labels: Path | None) -> Splits:
    if path.is_file():
        return {"": _recognise_file(path, labels)}
    if not path.is_dir():
        raise ShardError("no such folder", where=path, expected="pictures, or archives of pictures")
    with os.scandir(path):  # says so if it may not be read, where a search would find nothing
        pass
    if splits := _ilsvrc(path, labels):
        return splits
    recognisers: tuple[Callable[[Path], Splits], ...] = (_arrow, _parquet, _tars, _split_folders)
    answers = (recogniser(path) for recogniser in recognisers)
    return next((splits for splits in answers if splits), {"": _folder(path)})


def _recognise_file(path: Path, labels: Path | None) -> Source:
    if path.suffix == ".parquet":
        return ParquetFiles(files=(path,))
    if path.suffix != ".tar":
        raise ShardError("of no kind that can be read", where=path, expected="a folder, a .tar or a .parquet file")
    names = first_names(path)
    if any(name.endswith(".tar") for name in names):
        return NestedTar(path=path)
    if all(is_picture(name) for name in names):
        return FlatTar(path=path, labels=labels)
    return WebDatasetTars(tars=(path,))


def _ilsvrc(path: Path, labels: Path | None) -> Splits:
    """A folder with the archives as they are downloaded; `labels` goes before a devkit archive beside them."""
    train, validation = path / TRAIN_ARCHIVE, path / VALIDATION_ARCHIVE
    splits: Splits = {TRAIN: NestedTar(path=train)} if train.is_file() else {}
    if validation.is_file():
        devkit = next(iter(sorted(path.glob(DEVKIT_PATTERN))), None)
        splits[VALIDATION] = FlatTar(path=validation, labels=labels or devkit)
    return splits


def _arrow(path: Path) -> Splits:
    def is_dataset(folder: Path) -> bool:
        return (folder / STATE_NAME).is_file() and (folder / INFO_NAME).is_file()

    if is_dataset(path):
        return {"": ArrowFolder(root=path)}
    return {name: ArrowFolder(root=path / name) for name in sorted(subfolders(path)) if is_dataset(path / name)}


def _parquet(path: Path) -> Splits:
    """Files named SPLIT-00000-of-00012.parquet, here or in data/."""
    splits = defaultdict[str, list[Path]](list)
    for file in sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")]):
        splits[file.name.partition("-")[0].removesuffix(".parquet")].append(file)
    sources: Splits = {name: ParquetFiles(files=tuple(files)) for name, files in splits.items()}
    return {"": next(iter(sources.values()))} if len(sources) == 1 else sources


def _tars(path: Path) -> Splits:
    source = _tars_in(path, None)
    return {"": source} if source else {}


def _tars_in(folder: Path, like: Path | None) -> Source | None:
    tars = tuple(sorted(tar for tar in folder.glob("*.tar") if tar.is_file()))
    if not tars:
        return None
    return ClassTars(root=folder, like=like) if are_class_tars(tars) else WebDatasetTars(tars=tars)


def _split_folders(path: Path) -> Splits:
    """Folders train and val, or another name of it: class folder trees if both are there, or tars."""
    inside = subfolders(path)
    validation = next((name for name in VALIDATION_NAMES if name in inside), None)
    train = _split_source(path / TRAIN, None) if TRAIN in inside else None
    like = path / TRAIN if isinstance(train, ClassFolders | ClassTars) else None
    held_out = _split_source(path / validation, like) if validation else None
    found = {name: source for name, source in ((TRAIN, train), (VALIDATION, held_out)) if source}
    has_tars = any(not isinstance(source, ClassFolders) for source in found.values())
    return found if has_tars or len(found) == 2 else {}


def _split_source(folder: Path, like: Path | None) -> Source | None:
    return _tars_in(folder, like) or (ClassFolders(root=folder, like=like) if _is_class_tree(folder) else None)


def _folder(path: Path) -> Source:
    return ClassFolders(root=path) if _is_class_tree(path) else FlatFolder(root=path)


def _is_class_tree(path: Path) -> bool:
    """Whether pictures lie in subfolders and none beside them."""
    if FlatFolder(root=path).has_top_level_pictures():
        return False
    return any(has_pictures(path / name) for name in subfolders(path))
