"""Class folders against torchvision's ImageFolder, and what is said about odd trees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tars import write_tar
from torchvision.datasets import ImageFolder

from shards.errors import ShardError
from shards.sources.flat_tar import FlatTar
from shards.sources.folders import ClassFolders, FlatFolder
from shards.sources.recognise import recognise
from shards.sources.remote_folder import RemotePictures

Tree = Callable[..., Path]


def test_samples_classes_and_labels_are_image_folders(tmp_path: Path, make_tree: Tree) -> None:
    root = make_tree(tmp_path / "root", {"Zebra": 2, "ant": 3, "ant/inner": 1, "b-2": 2, "b_1": 1})
    oracle = ImageFolder(root)
    listing, warnings = ClassFolders(root=root).scan()
    assert list(listing.classes) == oracle.classes
    assert [(str(root / sample.name), sample.label) for sample in listing] == oracle.samples
    assert [sample.size for sample in listing] == [Path(path).stat().st_size for path, _ in oracle.samples]
    assert warnings == []


def test_numbered_folders_are_sorted_as_numbers_and_that_is_said(tmp_path: Path, make_tree: Tree) -> None:
    root = make_tree(tmp_path / "root", {str(number): 1 for number in range(12)})
    listing, warnings = ClassFolders(root=root).scan()
    assert listing.classes == tuple(str(number) for number in range(12))
    assert "sorted as numbers" in warnings[0]


def test_empty_class_and_other_files_are_mentioned(tmp_path: Path, make_tree: Tree) -> None:
    root = make_tree(tmp_path / "root", {"a": 2, "b": 1})
    (root / "empty").mkdir()
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / ".hidden.jpg").write_text("x")
    listing, warnings = ClassFolders(root=root).scan()
    assert len(listing) == 3
    assert any("'empty' holds no pictures" in text for text in warnings)
    assert any(text.startswith("1 files are not named like pictures") for text in warnings)


def test_hidden_pictures_are_passed_over_at_a_url_and_in_a_tar_as_in_a_folder(tmp_path: Path, make_tree: Tree) -> None:
    root = make_tree(tmp_path / "root", {"a": 2, "b.jpg": 1})
    for hidden in ("a/._0.jpg", ".trash/0.jpg", "a/.jpg", "a/.cache/x.jpg"):
        (root / hidden).parent.mkdir(exist_ok=True)
        (root / hidden).write_text("x")
    shutil.copytree(root / "a", tmp_path / "flat")
    write_tar(tmp_path / "x.tar", [(f"./{name}", b"x") for name in ("0.jpg", "._0.jpg", ".trash/0.jpg")])
    listed = [source.scan()[0] for source in (ClassFolders(root=root), RemotePictures(url=f"file://{root}"))]
    assert [sample.name for sample in listed[0]] == [sample.name for sample in listed[1]]
    assert len(listed[0]) == 3
    assert len(FlatFolder(root=tmp_path / "flat").scan()[0]) == 2
    assert [sample.name for sample in FlatTar(path=tmp_path / "x.tar").scan()[0]] == ["./0.jpg"]


@pytest.mark.parametrize("validation", ["val", "validation", "valid", "test"])
def test_splits_are_found_and_share_their_labels(tmp_path: Path, make_tree: Tree, validation: str) -> None:
    make_tree(tmp_path / "root" / "train", {"a": 2, "b": 2, "c": 2})
    make_tree(tmp_path / "root" / validation, {"c": 1})
    sources = recognise(tmp_path / "root")
    assert list(sources) == ["train", "validation"]
    listing, _ = sources["validation"].scan()
    assert (listing.classes, listing[0].label) == (("a", "b", "c"), 2)


def test_validation_class_unknown_in_training_is_refused(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path / "root" / "train", {"a": 2})
    make_tree(tmp_path / "root" / "val", {"a": 1, "new": 1})
    with pytest.raises(ShardError, match="training split does not have, found new"):
        recognise(tmp_path / "root")["validation"].scan()


def test_kind_of_folder_is_recognised(tmp_path: Path, make_tree: Tree) -> None:
    root = make_tree(tmp_path / "root", {"a": 2, "train": 1})
    assert isinstance(recognise(root)[""], ClassFolders)
    assert isinstance(recognise(root / "a")[""], FlatFolder)


def test_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(ShardError, match=r"no pictures, found readme.txt, expected files ending in .bmp"):
        recognise(tmp_path)[""].scan()
    with pytest.raises(ShardError, match="no such folder"):
        recognise(tmp_path / "nowhere")


def test_names_that_are_not_utf8_survive(tmp_path: Path, make_picture: Callable[..., bytes]) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes(make_picture(0))
    source = FlatFolder(root=tmp_path)
    listing, _ = source.scan()
    assert source.reader().read(listing[0]) == make_picture(0)
