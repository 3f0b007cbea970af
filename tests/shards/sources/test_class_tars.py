"""A folder of class tars: the samples of the folder tree and of the nested tar, and never taken for shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.building.job import BuildOptions, plan_build
from shards.errors import ShardError
from shards.sources import ranges
from shards.sources.base import Source
from shards.sources.class_tars import ClassTars, NestedTar
from shards.sources.flat_tar import FlatTar
from shards.sources.folders import ClassFolders
from shards.sources.recognise import recognise
from shards.sources.webdataset import WebDatasetTars
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]
Tree = Callable[..., Path]
Members = list[tuple[str, bytes]]


def write_tar(path: Path, members: Members, kind: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_class_tars(tree: Path, folder: Path, *, prefix: str = "") -> Path:
    """One tar per class folder; its members, in no order, start with `prefix`, in which {} is the class."""
    for inside in tree.iterdir():
        files = sorted(inside.iterdir(), reverse=True)
        write_tar(
            folder / f"{inside.name}.tar",
            [(prefix.format(inside.name) + file.name, file.read_bytes()) for file in files],
        )
    return folder


def samples(source: Source) -> list[tuple[str, int, bytes]]:
    listing, _ = source.scan()
    reader = source.reader()
    return [(sample.name, sample.label, reader.read(sample)) for sample in listing]


@pytest.mark.parametrize("prefix", ["", "./", "{}/", "./{}/"])
def test_class_tars_give_the_shards_of_the_tree_and_of_the_nested_tar(
    tmp_path: Path, make_tree: Tree, run_build: Run, files_of: Files, prefix: str
) -> None:
    tree = make_tree(tmp_path / "tree", {"n02000000": 7, "n01440764": 5, "n01500000": 1})
    folder = write_class_tars(tree, tmp_path / "tars", prefix=prefix)
    outer = write_tar(tmp_path / "outer.tar", [(tar.name, tar.read_bytes()) for tar in folder.iterdir()])
    class_tars, nested = recognise(folder)[""], recognise(outer)[""]
    assert isinstance(class_tars, ClassTars)
    assert isinstance(nested, NestedTar)
    assert class_tars.description == f"3 class tars in {folder}, n01440764.tar first, read in place"
    assert samples(class_tars) == samples(nested) == samples(ClassFolders(root=tree))
    tars = []
    for name, source in (("a", class_tars), ("b", nested), ("c", ClassFolders(root=tree))):
        run_build(source, tmp_path / name, shard_mib=0.01)
        tars.append({n: c for n, c in files_of(tmp_path / name).items() if n.endswith((".tar", ".idx"))})
    assert tars[0] == tars[1] == tars[2]


PICTURES = [f"{number:04d}.jpg" for number in range(3)]
WITH_LABELS = [name for picture in PICTURES for name in (picture, picture.replace("jpg", "cls"))]


@pytest.mark.parametrize(
    ("stems", "names", "kind"),
    [
        (("shard-000000", "shard-000001"), PICTURES, WebDatasetTars),
        (("shard-000005", "shard-000017"), PICTURES, WebDatasetTars),
        (("00000",), PICTURES, WebDatasetTars),
        (("shard-000000", "shard-000001"), WITH_LABELS, WebDatasetTars),
        (("n01440764", "n01443537"), WITH_LABELS, WebDatasetTars),
        (("cat", "dog"), WITH_LABELS, WebDatasetTars),
        (("n01440764", "n01443537"), PICTURES, ClassTars),
        (("n01440764",), ["n01440764_18.JPEG"], ClassTars),
        (("cat", "dog", "dog2"), PICTURES, ClassTars),
    ],
)
def test_content_tells_class_tars_from_shards(
    tmp_path: Path, make_picture: Callable[..., bytes], stems: tuple[str, ...], names: list[str], kind: type
) -> None:
    for stem in stems:
        members = [(f"{name}", make_picture(1) if "cls" not in name else b"0") for name in names]
        write_tar(tmp_path / f"{stem}.tar", members)
    assert isinstance(recognise(tmp_path)[""], kind)


def test_numbered_classes_are_known_by_pictures_named_after_them(tmp_path: Path, make_tree: Tree) -> None:
    tree = make_tree(tmp_path / "tree", {"10": 2, "9": 2})
    listing, warnings = recognise(write_class_tars(tree, tmp_path / "tars"))[""].scan()
    assert listing.classes == ("9", "10")
    assert "sorted as numbers" in warnings[0]


@pytest.mark.parametrize("validation", ["tars", "folders"])
def test_a_validation_split_gets_the_labels_of_the_training_split(
    tmp_path: Path, make_tree: Tree, validation: str
) -> None:
    write_class_tars(make_tree(tmp_path / "a", {"ant": 1, "bee": 1, "cat": 1}), tmp_path / "root" / "train")
    held_out = make_tree(tmp_path / "b", {"bee": 2, "cat": 1})
    if validation == "tars":
        write_class_tars(held_out, tmp_path / "root" / "val")
    else:
        held_out.rename(tmp_path / "root" / "val")
    splits = recognise(tmp_path / "root")
    assert list(splits) == ["train", "validation"]
    listing, _ = splits["validation"].scan()
    assert listing.classes == ("ant", "bee", "cat")
    assert [sample.label for sample in listing] == [1, 1, 2]


def test_unknown_classes_empty_classes_and_other_files_are_named(tmp_path: Path, make_tree: Tree) -> None:
    folder = write_class_tars(make_tree(tmp_path / "a", {"ant": 1, "bee": 1}), tmp_path / "tars")
    write_tar(folder / "cat.tar", [("._x.jpg", b"x"), ("notes.txt", b"x")])
    _, warnings = ClassTars(root=folder).scan()
    assert warnings == [
        "class tar cat.tar holds no pictures; its label 2 stays unused",
        "2 files are not named like pictures and were passed over",
    ]
    other = write_class_tars(make_tree(tmp_path / "b", {"dog": 1}), tmp_path / "other")
    with pytest.raises(ShardError, match=r"other: classes that the training split does not have, found dog.tar"):
        ClassTars(root=other, like=folder).scan()


def test_more_tars_than_a_process_may_open_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tree: Tree
) -> None:
    monkeypatch.setattr(ranges, "MAX_OPEN", 3)
    tree = make_tree(tmp_path / "tree", {f"class_{number}x": 2 for number in range(8)})
    source = recognise(write_class_tars(tree, tmp_path / "tars"))[""]
    listing, _ = source.scan()
    reader = source.reader()
    for row in [0, 5, 15, 1, 8, 3, 0, 12, 7, 15, 2]:
        assert reader.read(listing[row]) == (tree / listing[row].name).read_bytes()
        assert len(reader._open) <= 3  # type: ignore[attr-defined]


def test_a_flat_tar_passes_over_what_is_no_picture(tmp_path: Path, make_picture: Callable[..., bytes]) -> None:
    tar = write_tar(tmp_path / "x.tar", [("1.jpg", make_picture(1)), ("readme.txt", b"x")])
    listing, warnings = FlatTar(path=tar).scan()
    assert [sample.name for sample in listing] == ["1.jpg"]
    assert warnings == ["1 files are not named like pictures and were passed over"]


def test_a_source_with_labels_on_some_samples_only_is_refused(
    tmp_path: Path, make_picture: Callable[..., bytes]
) -> None:
    write_tar(tmp_path / "x.tar", [("0.jpg", make_picture(0)), ("0.cls", b"1"), ("1.jpg", make_picture(1))])
    with pytest.raises(ShardError, match="only some samples have a label, found 1 of 2 without"):
        plan_build(recognise(tmp_path)[""], BuildOptions())
