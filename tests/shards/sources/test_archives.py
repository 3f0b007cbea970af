"""Archives of pictures against the folder tree they were made from: the same samples, names and labels."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from shards.errors import ShardError
from shards.sources.class_tars import NestedTar
from shards.sources.flat_tar import FlatTar
from shards.sources.folders import ClassFolders
from shards.sources.recognise import recognise
from shards.sources.webdataset import WebDatasetTars
from shards.tars.manifest import Manifest
from shards.tars.scan import scan_tar

Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]
Tree = Callable[..., Path]


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def nest(tree: Path, path: Path, *, kind: int = tarfile.USTAR_FORMAT) -> Path:
    """The tree as a tar of class tars, classes and files in an order of their own."""
    with tarfile.open(path, "w", format=kind) as outer:
        for folder in sorted(tree.iterdir(), reverse=True):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=kind) as inner:
                for file in sorted(folder.iterdir(), reverse=True):
                    inner.add(file, file.name)
            add_bytes(outer, f"{folder.name}.tar", buffer.getvalue())
    return path


def samples(source: ClassFolders | NestedTar | FlatTar | WebDatasetTars) -> list[tuple[str, int, bytes]]:
    listing, _ = source.scan()
    reader = source.reader()
    return [(sample.name, sample.label, reader.read(sample)) for sample in listing]


def test_nested_tar_gives_the_shards_of_the_folder_tree(
    tmp_path: Path, make_tree: Tree, run_build: Run, files_of: Files
) -> None:
    tree = make_tree(tmp_path / "tree", {"n02000000": 7, "n01440764": 5})
    nested = NestedTar(path=nest(tree, tmp_path / "ILSVRC2012_img_train.tar"))
    assert samples(nested) == samples(ClassFolders(root=tree))
    for name, source in (("a", nested), ("b", ClassFolders(root=tree))):
        run_build(source, tmp_path / name, shard_mib=0.01)
    tars = [{n: c for n, c in files_of(tmp_path / name).items() if n.endswith((".tar", ".idx"))} for name in "ab"]
    assert tars[0] == tars[1]


def test_nested_tar_of_real_pictures(tmp_path: Path, imagenet_samples: Path) -> None:
    for number, file in enumerate(sorted(imagenet_samples.glob("*.JPEG"))[:30]):
        folder = tmp_path / "tree" / file.name.partition("_")[0][: 5 + number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).symlink_to(file)
    for folder in (tmp_path / "tree").iterdir():  # tar would store the links
        for file in list(folder.iterdir()):
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
    nested = NestedTar(path=nest(tmp_path / "tree", tmp_path / "train.tar"))
    assert samples(nested) == samples(ClassFolders(root=tmp_path / "tree"))


def make_validation(tmp_path: Path, make_picture: Callable[..., bytes], kind: int) -> tuple[Path, dict[str, str]]:
    """A flat tar in no order, and the class of each picture."""
    classes = {f"ILSVRC2012_val_{number:08d}.JPEG": f"n{(number * 7) % 5:08d}" for number in range(1, 13)}
    with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w", format=kind) as tar:
        for number, name in enumerate(sorted(classes, key=lambda name: hash(name) % 97)):
            add_bytes(tar, name, make_picture(number))
    return tmp_path / "ILSVRC2012_img_val.tar", classes


def write_devkit(path: Path, classes: dict[str, str]) -> Path:
    """A devkit whose own numbers are in another order than the sorted WordNet ids."""
    ids = [f"n{number:08d}" for number in (3, 0, 4, 1, 2)]
    synsets = np.array(
        [(number + 1, name) for number, name in enumerate(ids)], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")]
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets.reshape(-1, 1)})
    truth = "".join(f"{ids.index(classes[name]) + 1}\n" for name in sorted(classes))
    with tarfile.open(path, "w:gz") as tar:
        add_bytes(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        add_bytes(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode())
    return path


@pytest.mark.parametrize("labels", ["devkit", "names", "order"])
def test_validation_labels_are_ranks_of_wordnet_ids(
    tmp_path: Path, make_picture: Callable[..., bytes], labels: str
) -> None:
    tar, classes = make_validation(tmp_path, make_picture, tarfile.USTAR_FORMAT)
    path = tmp_path / "labels"
    if labels == "devkit":
        write_devkit(path, classes)
    elif labels == "names":
        path.write_text("".join(f"{Path(name).stem} {wnid}\n" for name, wnid in classes.items()))
    else:
        path.write_text("".join(f"{classes[name]}\n" for name in sorted(classes)))
    listing, _ = FlatTar(path=tar, labels=path).scan()
    assert {sample.name: listing.classes[sample.label] for sample in listing} == classes
    assert listing.classes == tuple(f"n{number:08d}" for number in range(5))


def test_validation_without_labels_and_with_wrong_ones(tmp_path: Path, make_picture: Callable[..., bytes]) -> None:
    tar, _ = make_validation(tmp_path, make_picture, tarfile.USTAR_FORMAT)
    assert not FlatTar(path=tar).scan()[0].classes
    (tmp_path / "few").write_text("n1\nn2\n")
    with pytest.raises(ShardError, match="few: does not fit the tar, found 2 labels, expected 12"):
        FlatTar(path=tar, labels=tmp_path / "few").scan()
    (tmp_path / "other").write_text("a.JPEG n1\n")
    with pytest.raises(
        ShardError, match=r"other: has no class for 12 pictures, found none for ILSVRC2012_val_00000001"
    ):
        FlatTar(path=tar, labels=tmp_path / "other").scan()


def test_the_folder_of_downloads_is_recognised(
    tmp_path: Path, make_picture: Callable[..., bytes], make_tree: Tree
) -> None:
    _, classes = make_validation(tmp_path, make_picture, tarfile.USTAR_FORMAT)
    write_devkit(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", classes)
    nest(make_tree(tmp_path / "tree", {"n1": 1}), tmp_path / "ILSVRC2012_img_train.tar")
    sources = recognise(tmp_path)
    assert {split: type(source) for split, source in sources.items()} == {"train": NestedTar, "validation": FlatTar}
    assert sources["validation"].scan()[0].classes


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name", ["a.jpg", "d/" + "x" * 98, "é.jpg", "with space.jpg", "y" * 150 + ".jpg", "d" * 90 + "/" + "z" * 60]
)
def test_tar_members_are_found_where_tarfile_finds_them(tmp_path: Path, kind: int, name: str) -> None:
    if kind == tarfile.USTAR_FORMAT and len(name) == 154:
        pytest.skip("ustar cannot hold this name")
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=kind) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo(name)
        info.size, info.mtime = 700, 0.5
        tar.addfile(info, io.BytesIO(bytes(700)))
        add_bytes(tar, "last.txt", b"x")
    with tarfile.open(path) as tar:
        oracle = [(member.name, member.offset_data, member.size) for member in tar if member.isreg()]
    with path.open("rb") as file:
        assert [tuple(member) for member in scan_tar(file.fileno(), where=path)] == oracle


def test_cut_and_damaged_tars_are_named_with_their_place(tmp_path: Path, tree: Path) -> None:
    path = nest(tree, tmp_path / "x.tar")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ShardError, match=r"x.tar.*ends in the middle of a member.*fetch the file again"):
        NestedTar(path=path).scan()
    path.write_bytes(b"\1" + content[1:])
    with pytest.raises(ShardError, match=r"x.tar at byte 0: damaged tar header"):
        NestedTar(path=path).scan()


def test_existing_tars_are_shuffled_anew_with_bytes_and_labels_unchanged(
    tmp_path: Path, tree: Path, run_build: Run
) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "first", shard_mib=0.01)
    source = recognise(tmp_path / "first")[""]
    assert isinstance(source, WebDatasetTars)
    found = {(label, content) for _, label, content in samples(source)}
    assert found == {(label, content) for _, label, content in samples(ClassFolders(root=tree))}
    manifest, _ = run_build(source, tmp_path / "second", seed=9)
    assert (manifest.num_samples, manifest.classes) == (21, ("ant", "bee", "cat"))


def test_foreign_tars_are_understood_and_explained(tmp_path: Path, make_picture: Callable[..., bytes]) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number in range(3):
            add_bytes(tar, f"dir.v1/{number}.cls", str(number).encode())
            add_bytes(tar, f"dir.v1/{number}.JPEG", make_picture(number))
    (listing, _) = WebDatasetTars(tars=(tmp_path / "x.tar",)).scan()
    assert [(sample.name, sample.label) for sample in listing] == [(f"x/dir.v1/{n}.JPEG", n) for n in range(3)]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add_bytes(tar, "0.npy", b"x")
    with pytest.raises(ShardError, match=r"no samples with a picture, found .npy \(1x\)"):
        WebDatasetTars(tars=(tmp_path / "x.tar",)).scan()


def test_reading_in_order_changes_no_byte(tmp_path: Path, tree: Path, run_build: Run, files_of: Files) -> None:
    for name, sequential in (("a", False), ("b", True)):
        run_build(ClassFolders(root=tree), tmp_path / name, shard_mib=0.01, sequential=sequential)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert not (tmp_path / "b" / ".build" / "spill").exists()
