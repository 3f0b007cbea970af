"""No labels are lost in silence: which folders are splits, classes or neither is recognised and said, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tars import write_tar

from shards.building.job import BuildOptions, plan_splits
from shards.errors import ShardError
from shards.sources.class_tars import ClassTars
from shards.sources.folders import ClassFolders, FlatFolder
from shards.sources.hf_rows import ParquetFiles
from shards.sources.layouts import Choice, Layout
from shards.sources.recognise import recognise
from shards.sources.remote_folder import RemotePictures
from shards.sources.tar_samples import parse_label_field
from shards.sources.webdataset import WebDatasetTars

Tree = Callable[..., Path]
Make = Callable[..., bytes]


def look(root: Path, layout: Layout = "auto") -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The classes of each split, and what was said."""
    notes: list[str] = []
    splits = recognise(root, choice=Choice(layout=layout), note=notes.append)
    return {split: source.scan()[0].classes for split, source in splits.items()}, notes


def test_a_train_folder_alone_is_a_split_and_no_class(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path / "train", {"ant": 1, "bee": 1})
    assert look(tmp_path) == ({"train": ("ant", "bee")}, [])


@pytest.mark.parametrize(("train", "held_out"), [("Train", "Val"), ("TRAIN", "VALID"), ("training", "validation")])
def test_splits_in_any_spelling_are_no_classes(tmp_path: Path, make_tree: Tree, train: str, held_out: str) -> None:
    make_tree(tmp_path / train, {"ant": 1, "bee": 1})
    make_tree(tmp_path / held_out, {"bee": 1})
    assert look(tmp_path) == ({"train": ("ant", "bee"), "validation": ("ant", "bee")}, [])


def test_a_test_folder_is_a_split_of_its_own_with_labels_or_without(tmp_path: Path, make_tree: Tree) -> None:
    for name in ("train", "val"):
        make_tree(tmp_path / name, {"ant": 1, "bee": 1})
    make_tree(tmp_path, {"test": 2})
    assert look(tmp_path)[0] == {"train": ("ant", "bee"), "validation": ("ant", "bee"), "test": ()}
    shutil.rmtree(tmp_path / "val")
    assert list(look(tmp_path)[0]) == ["train", "test"]
    shutil.rmtree(tmp_path / "test")
    make_tree(tmp_path / "test", {"bee": 1})
    splits, notes = look(tmp_path)
    assert list(splits) == ["train", "validation"]
    assert notes == [f"{tmp_path} has no validation folder: its test folder is taken for that"]


def test_flat_splits_are_no_classes(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path, {"train": 2, "val": 1})
    assert look(tmp_path) == ({"train": (), "validation": ()}, [])


def test_what_lies_beside_splits_is_said(tmp_path: Path, make_tree: Tree, make_picture: Make) -> None:
    for name in ("train", "val"):
        make_tree(tmp_path / name, {"ant": 1})
    make_tree(tmp_path, {"unlabeled": 1})
    (tmp_path / "cover.jpg").write_bytes(make_picture(0))
    splits, notes = look(tmp_path)
    assert list(splits) == ["train", "validation"]
    assert f"unlabeled in {tmp_path} are of no split and left out" in notes
    assert f"1 pictures beside the split folders in {tmp_path} are left out" in notes


def test_two_folders_for_one_split_are_refused(tmp_path: Path, make_tree: Tree) -> None:
    for name in ("train", "val", "validation"):
        make_tree(tmp_path / name, {"ant": 1})
    with pytest.raises(ShardError, match="two folders for the validation split, found val and validation"):
        recognise(tmp_path)


def test_one_stray_picture_does_not_take_the_labels_away(tmp_path: Path, make_tree: Tree, make_picture: Make) -> None:
    make_tree(tmp_path, {"ant": 1, "bee": 1})
    (tmp_path / "cover.jpg").write_bytes(make_picture(0))
    for place in (tmp_path, f"file://{tmp_path}"):
        with pytest.raises(ShardError, match=r"pictures beside folders of pictures, found 1 beside .*--layout classes"):
            recognise(place)[""].scan()
        labelled, warnings = recognise(place, choice=Choice(layout="classes"))[""].scan()
        assert (labelled.classes, len(labelled)) == (("ant", "bee"), 2)
        flat, _ = recognise(place, choice=Choice(layout="flat"))[""].scan()
        assert (flat.classes, len(flat)) == ((), 3)
    assert warnings == ["1 pictures beside the class folders are left out"]
    assert "1 pictures beside the class folders" in look(tmp_path, "classes")[1][0]


def test_a_folder_that_only_holds_the_pictures_is_no_class(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path, {"images": 2, "annotations": 1})
    splits, notes = look(tmp_path)
    assert (splits, notes[0].partition(" is taken ")[0]) == ({"": ()}, str(tmp_path / "images"))
    assert look(tmp_path, "classes")[0] == {"": ("annotations", "images")}
    shutil.rmtree(tmp_path / "images")
    make_tree(tmp_path / "images", {"ant": 1, "bee": 1})
    assert look(tmp_path)[0] == {"": ("ant", "bee")}
    make_tree(tmp_path, {"cat": 1})
    with pytest.raises(ShardError, match=r"hardly all classes, found images beside cat; give .*images if .*--layout"):
        recognise(tmp_path)


def test_one_class_alone_is_said(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path / "set", {"ant": 1, "bee": 1})
    splits, notes = look(tmp_path)
    assert splits == {"": ("set",)}
    assert notes == [f"one class alone, set; if its own folders are the classes, give {tmp_path / 'set'}"]


def test_splits_at_a_url_are_no_classes(tmp_path: Path, make_tree: Tree) -> None:
    for name in ("train", "val"):
        make_tree(tmp_path / name, {"ant": 1})
    with pytest.raises(ShardError, match="splits rather than classes, found train and val; give the URL of each"):
        recognise(f"file://{tmp_path}")[""].scan()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tgz", "a.tar"])
def test_compressed_archives_are_named(tmp_path: Path, name: str) -> None:
    head = b"PK\x03\x04" if name.endswith("zip") else b"\x1f\x8b\x08"
    (tmp_path / name).write_bytes(head + bytes(600))
    kind = "zip" if name.endswith("zip") else "gzip"
    with pytest.raises(ShardError, match=f"{name}: compressed with {kind}; unpack it"):
        recognise(tmp_path / name)
    with pytest.raises(ShardError, match="unpack it"):
        recognise(tmp_path)[""].scan()


def test_tars_of_two_splits_in_one_folder_make_two_sets_with_the_same_classes(
    tmp_path: Path, make_picture: Make
) -> None:
    for name, label in (("x-train-0", b"4"), ("x-train-1", b"0"), ("x-validation-0", b"1")):
        write_tar(tmp_path / f"{name}.tar", [("a.jpg", make_picture(0)), ("a.cls", label)])
    splits = recognise(tmp_path)
    jobs = plan_splits(splits, BuildOptions())
    assert {split: len(job.listing) for split, job in jobs.items()} == {"train": 2, "validation": 1}
    assert {job.listing.classes for job in jobs.values()} == {("0", "1", "2", "3", "4")}
    (only,) = recognise(tmp_path, choice=Choice(include="*-train-*")).values()
    assert isinstance(only, WebDatasetTars)
    assert [tar.name for tar in only.tars] == ["x-train-0.tar", "x-train-1.tar"]


def test_pictures_of_tars_are_counted_where_dots_hid_them(tmp_path: Path, make_picture: Make) -> None:
    write_tar(
        tmp_path / "a.tar",
        [(f"img.v{k}.x.{s}", make_picture(k) if s == "jpg" else b"1") for k in range(20) for s in ("jpg", "cls")],
    )
    write_tar(tmp_path / "b.tar", [("a.0.jpg", make_picture(0)), ("a.1.jpg", make_picture(1)), ("a.cls", b"1")])
    listing, warnings = recognise(tmp_path)[""].scan()
    assert len(listing) == 21
    assert set(listing.labels.tolist()) == {1}
    assert warnings == ["1 pictures behind the first of their sample were passed over: a with .0.jpg .1.jpg"]


def test_labels_in_json_are_built_as_well(tmp_path: Path, make_picture: Make) -> None:
    write_tar(tmp_path / "a.tar", [("n_0.jpg", make_picture(0)), ("n_0.json", b'{"y": 2}')])
    choice = Choice(label_field=parse_label_field("json:y"))
    assert recognise(tmp_path, choice=choice)[""].scan()[0].labels.tolist() == [2]


def test_folders_of_img2dataset_are_tars_described_by_parquet(tmp_path: Path, make_picture: Make) -> None:
    for number in range(2):
        write_tar(tmp_path / f"0000{number}.tar", [("0.jpg", make_picture(number)), ("0.txt", b"a"), ("0.json", b"{}")])
        (tmp_path / f"0000{number}.parquet").write_bytes(b"not asked")
    source = recognise(tmp_path)[""]
    assert isinstance(source, WebDatasetTars)
    listing, warnings = source.scan()
    assert (len(listing), listing.classes) == (2, ())
    assert warnings[0].startswith("no sample has a .cls member: taken for pictures without labels; beside the pictures")


def test_classes_that_training_lacks_are_found_before_anything_is_written(tmp_path: Path, make_tree: Tree) -> None:
    make_tree(tmp_path / "train", {"ant": 1})
    make_tree(tmp_path / "val", {"ant": 1, "new": 1})
    with pytest.raises(ShardError, match="training split does not have, found new"):
        plan_splits(recognise(tmp_path), BuildOptions())


@pytest.mark.parametrize(
    ("kind", "choice", "flag"),
    [
        (FlatFolder, Choice(include="x*"), "--include"),
        (ClassFolders, Choice(label_field=parse_label_field("cls")), "--label-field"),
        (ClassTars, Choice(include="a*"), "--include"),
        (WebDatasetTars, Choice(layout="flat"), "--layout"),
        (RemotePictures, Choice(include="x*"), "--include"),
        (ParquetFiles, Choice(layout="classes"), "--layout"),
    ],
)
def test_a_choice_without_use_is_refused(
    tmp_path: Path, make_tree: Tree, make_picture: Make, kind: type, choice: Choice, flag: str
) -> None:
    place: str | Path = tmp_path
    if kind in (ClassTars, WebDatasetTars):
        label = [("ant_0.cls", b"0")] if kind is WebDatasetTars else []
        write_tar(tmp_path / "ant.tar", [("ant_0.jpg", make_picture(0)), *label])
    elif kind is ParquetFiles:
        (tmp_path / "train-0.parquet").touch()
    else:
        make_tree(tmp_path, {"ant": 1} if kind is not FlatFolder else {".": 1})
        place = f"file://{tmp_path}" if kind is RemotePictures else tmp_path
    with pytest.raises(ShardError, match=f"{flag}: "):
        recognise(place, choice=choice)
