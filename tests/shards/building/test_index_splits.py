"""Other people's tars indexed in place: splits kept apart, labels wherever they are, nothing lost without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from tars import write_tar

from shards.building.indexing import IndexedSet, IndexRules, index_splits
from shards.errors import ShardError
from shards.sources.tar_samples import parse_label_field
from shards.sources.tar_splits import split_tars, tars_in
from shards.tars.index import parse_index
from shards.tars.shardset import load_shard_set

Make = Callable[..., bytes]
Members = list[tuple[str, bytes]]


@pytest.fixture
def index(executor: Executor) -> Callable[..., dict[str, IndexedSet]]:
    def run(root: Path, *, field: str | None = None) -> dict[str, IndexedSet]:
        splits = split_tars(root, tars_in(root, None), is_chosen=False, note=lambda text: None)
        rules = IndexRules(label_field=parse_label_field(field) if field else None)
        return {one.folder.name: one for one in index_splits(root, splits, executor, rules)}

    return run


Index = Callable[..., dict[str, IndexedSet]]


def names_of(folder: Path) -> list[str]:
    shards = load_shard_set(folder).shards
    return [sample[0].name for shard in shards for sample in parse_index(shard.idx.read_bytes(), where=shard.idx)]


def test_each_split_becomes_a_set_of_links_with_the_same_classes(
    tmp_path: Path, make_picture: Make, index: Index
) -> None:
    for number, (name, labels) in enumerate({"x-train-0": [0, 4], "x-train-1": [2], "x-val-0": [1]}.items()):
        parts: Members = []
        for k, label in enumerate(labels):
            parts += [(f"{k}.jpg", make_picture(10 * number + k)), (f"{k}.cls", b"%d" % label)]
        write_tar(tmp_path / f"{name}.tar", parts)
    (tmp_path / "manifest.json").write_text("of an older index that took both for one")
    found = index(tmp_path)
    train, validation = load_shard_set(tmp_path / "train"), load_shard_set(tmp_path / "validation")
    assert list(found) == ["train", "validation"]
    assert (train.num_samples, validation.num_samples) == (3, 1)
    assert train.classes == validation.classes == ("0", "1", "2", "3", "4")
    assert [shard.tar.readlink() for shard in validation.shards] == [Path("../x-val-0.tar")]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        f"x-{n}.tar" for n in ("train-0", "train-1", "val-0")
    ]
    assert names_of(tmp_path / "train") == ["000000000/0.jpg", "000000001/1.jpg", "000000002/0.jpg"]
    assert index(tmp_path)["train"].manifest == found["train"].manifest


def test_a_folder_with_other_tars_in_the_place_of_links_is_refused(
    tmp_path: Path, make_picture: Make, index: Index
) -> None:
    for name in ("train-0", "val-0", "train/own"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_tar(tmp_path / f"{name}.tar", [("a.jpg", make_picture(0))])
    with pytest.raises(ShardError, match=r"own\.tar: a tar of its own where links of the split would be"):
        index(tmp_path)
    assert (tmp_path / "train" / "own.tar").is_file()


def test_labels_come_from_json_where_that_is_asked_for(tmp_path: Path, make_picture: Make, index: Index) -> None:
    parts: Members = []
    for number, label in enumerate((3, "0", 7)):
        parts += [(f"k{number}.jpg", make_picture(number)), (f"k{number}.json", json.dumps({"y": label}).encode())]
    write_tar(tmp_path / "a.tar", parts)
    plain = index(tmp_path)[tmp_path.name]
    assert plain.manifest.classes == ()
    assert plain.warnings == (
        "no sample has a .cls member: taken for pictures without labels; beside the pictures there are .json (3x), "
        "with y in the JSON: --label-field json:NAME takes labels from there",
    )
    labelled = index(tmp_path, field="json:y")[tmp_path.name]
    assert (len(labelled.manifest.classes), labelled.warnings) == (8, ())
    assert names_of(tmp_path) == ["000000000=3/k0.jpg", "000000001=0/k1.jpg", "000000002=7/k2.jpg"]
    assert not load_shard_set(tmp_path).has_label_members
    with pytest.raises(
        ShardError, match=r"--label-field json:z: no sample has this label, found \.json \(3x\), with y"
    ):
        index(tmp_path, field="json:z")


@pytest.mark.parametrize("suffix", ["cls", "CLS", "cls.txt"])
def test_labels_in_text_members_are_found(tmp_path: Path, make_picture: Make, index: Index, suffix: str) -> None:
    write_tar(tmp_path / "a.tar", [("a.jpg", make_picture(0)), (f"a.{suffix}", b"12\n")])
    assert len(index(tmp_path)[tmp_path.name].manifest.classes) == 13


@pytest.mark.parametrize("content", [b'{"y": "cat"}', b'{"y": true}', b'{"y": -3}', b"[1]", b"{", b'{"y": 1.5}'])
def test_json_labels_that_are_no_numbers_are_named(
    tmp_path: Path, make_picture: Make, index: Index, content: bytes
) -> None:
    write_tar(tmp_path / "a.tar", [("a.jpg", make_picture(0)), ("a.json", content)])
    with pytest.raises(ShardError, match=r"a\.tar!a\.json"):
        index(tmp_path, field="json:y")
    assert not (tmp_path / "manifest.json").exists()


def test_pictures_that_dots_hide_behind_one_key_are_samples_of_their_own(
    tmp_path: Path, make_picture: Make, index: Index
) -> None:
    parts = [(f"img.v{k}.x.{s}", c) for k in range(20) for s, c in (("jpg", make_picture(k)), ("cls", b"1"))]
    write_tar(tmp_path / "a.tar", parts)
    found = index(tmp_path)[tmp_path.name]
    assert (found.manifest.num_samples, len(found.manifest.classes), found.warnings) == (20, 2, ())


def test_second_pictures_of_a_sample_are_counted(tmp_path: Path, make_picture: Make, index: Index) -> None:
    parts = [("a.jpg", make_picture(0)), ("a.seg.png", make_picture(1, kind="PNG")), ("a.cls", b"0")]
    write_tar(tmp_path / "a.tar", [*parts, ("b.jpg", make_picture(2)), ("b.jpg", make_picture(3)), ("b.cls", b"0")])
    found = index(tmp_path)[tmp_path.name]
    assert found.manifest.num_samples == 2
    said = "2 pictures behind the first of their sample were passed over: a with .jpg .seg.png"
    assert found.warnings == (said,)


def test_webp_is_said_to_be_decoded_on_the_cpu(tmp_path: Path, make_picture: Make, index: Index) -> None:
    write_tar(tmp_path / "a.tar", [("a.webp", make_picture(0, kind="WEBP")), ("a.cls", b"0")])
    assert "WebP, which DALI decodes on the CPU" in index(tmp_path)[tmp_path.name].warnings[0]
