"""Finding out which kind of source a path is: each recogniser looks for one kind's marks and answers or passes on."""

from __future__ import annotations

import os
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

from shards.errors import ShardError
from shards.remote.store import is_url
from shards.sources.base import Source
from shards.sources.class_tars import NestedTar, first_names
from shards.sources.flat_tar import FlatTar
from shards.sources.folders import ClassFolders, FlatFolder, is_picture, subfolders
from shards.sources.hf_rows import INFO_NAME, STATE_NAME, ArrowFolder, ParquetFiles
from shards.sources.ilsvrc import DEVKIT_PATTERN, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from shards.sources.layouts import Choice, Splits, folder_of_pictures, folder_of_tars
from shards.sources.remote_folder import RemotePictures
from shards.sources.tar_splits import TRAIN, VALIDATION, Note
from shards.sources.webdataset import WebDatasetTars
from shards.tars.compressed import refuse_compressed

AS_IT_LOOKS = Choice()


def recognise(
    place: str | Path, *, labels: Path | None = None, choice: Choice = AS_IT_LOOKS, note: Note = lambda text: None
) -> Splits:
    """The sources in a folder, an archive or at a URL, by split; one source without a split has the key "".

    Args:
        place: a path or URL.
        labels: for a flat tar: a devkit archive or a list of classes.
        choice: what a person has decided.
        note: told what was taken for what where a person may have meant something else.

    Raises:
        ShardError: the place does not exist, is of no kind that can be read, leaves open what it is, or has no use for
            `labels` or a choice.
    """
    is_remote = is_url(str(place))
    remote: Splits = {"": RemotePictures(url=str(place), layout=choice.layout)} if is_remote else {}
    splits = remote or _recognise_path(Path(place), labels, choice, note)
    if labels is not None and not any(isinstance(source, FlatTar) for source in splits.values()):
        raise ShardError("only a flat tar takes labels from a file", where="--labels", found=_described(splits))
    _check_choice(splits, choice)
    return splits


def _check_choice(splits: Splits, choice: Choice) -> None:
    """Refuse a choice that the sources have no use for, rather than pass over it."""
    useful: tuple[tuple[str, bool, tuple[type, ...]], ...] = (
        ("--include", choice.include is not None, (WebDatasetTars, ParquetFiles)),
        ("--label-field", choice.label_field is not None, (WebDatasetTars,)),
        ("--layout", choice.layout != "auto", (ClassFolders, FlatFolder, RemotePictures)),
    )
    for flag, is_given, kinds in useful:
        if is_given and not all(isinstance(source, kinds) for source in splits.values()):
            raise ShardError("of no use to this kind of source", where=flag, found=_described(splits))


def _described(splits: Splits) -> str:
    return " and ".join(source.description for source in splits.values())


def _recognise_path(path: Path, labels: Path | None, choice: Choice, note: Note) -> Splits:
    if path.is_file():
        return {"": _recognise_file(path, labels, choice)}
    if not path.is_dir():
        raise ShardError("no such folder", where=path, expected="pictures, or archives of pictures")
    with os.scandir(path):  # says so if it may not be read, where a search would find nothing
        pass
    return (
        _ilsvrc(path, labels)
        or _arrow(path)
        or _parquet(path, choice)
        or folder_of_tars(path, choice, note)
        or folder_of_pictures(path, choice, note)
    )


def _recognise_file(path: Path, labels: Path | None, choice: Choice) -> Source:
    if path.suffix == ".parquet":
        return ParquetFiles(files=(path,))
    refuse_compressed(path)
    if path.suffix != ".tar":
        raise ShardError("of no kind that can be read", where=path, expected="a folder, a .tar or a .parquet file")
    names = first_names(path)
    if any(name.endswith(".tar") for name in names):
        return NestedTar(path=path)
    if all(is_picture(name) for name in names):
        return FlatTar(path=path, labels=labels)
    return WebDatasetTars(tars=(path,), label_field=choice.label_field)


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


def _parquet(path: Path, choice: Choice) -> Splits:
    """Files named SPLIT-00000-of-00012.parquet, here or in data/. Those beside a tar of their name only describe it."""
    files = [file for file in [*path.glob("*.parquet"), *path.glob("data/*.parquet")] if not _describes_tar(file)]
    splits = defaultdict[str, list[Path]](list)
    for file in sorted(file for file in files if choice.include is None or fnmatch(file.name, choice.include)):
        splits[file.name.partition("-")[0].removesuffix(".parquet")].append(file)
    if files and not splits:
        expected = f"one like {min(files).name}"
        raise ShardError("fits no parquet file", where="--include", found=choice.include, expected=expected)
    sources: Splits = {name: ParquetFiles(files=tuple(files)) for name, files in splits.items()}
    return {"": next(iter(sources.values()))} if len(sources) == 1 else sources


def _describes_tar(file: Path) -> bool:
    return file.with_suffix(".tar").is_file()
