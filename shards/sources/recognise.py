"""Finding out which kind of source a path is."""

from __future__ import annotations

from pathlib import Path

from shards.errors import ShardError
from shards.sources.base import Source
from shards.sources.folders import ClassFolders, FlatFolder, has_pictures, subfolders

TRAIN = "train"
VALIDATION = "validation"
VALIDATION_NAMES = ("validation", "val", "valid", "test")


def recognise(path: Path) -> dict[str, Source]:
    """The sources in `path`, by the split they are; one source without a split has the key "".

    Raises:
        ShardError: the path does not exist or holds no pictures.
    """
    if not path.is_dir():
        raise ShardError("no such folder", where=path, expected="a folder of pictures or of class folders")
    inside = sorted(subfolders(path))
    validation = next((name for name in VALIDATION_NAMES if name in inside), None)
    if TRAIN in inside and validation and all(_is_class_tree(path / name) for name in (TRAIN, validation)):
        train = ClassFolders(root=path / TRAIN)
        return {TRAIN: train, VALIDATION: ClassFolders(root=path / validation, like=path / TRAIN)}
    return {"": ClassFolders(root=path) if _is_class_tree(path) else FlatFolder(root=path)}


def _is_class_tree(path: Path) -> bool:
    """Whether pictures lie in subfolders and none beside them."""
    if FlatFolder(root=path).has_top_level_pictures():
        return False
    return any(has_pictures(path / name) for name in subfolders(path))
