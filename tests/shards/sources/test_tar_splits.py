"""Tars of several splits in one folder are told apart by `_info.json` or their names, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.sources.tar_splits import split_of, split_tars, tars_in


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def split(folder: Path, include: str | None = None) -> tuple[dict[str, list[str]], list[str]]:
    notes: list[str] = []
    groups = split_tars(folder, tars_in(folder, include), is_chosen=include is not None, note=notes.append)
    return {name: [tar.name for tar in tars] for name, tars in groups.items()}, notes


HUB = ("imagenet1k-train-0000.tar", "imagenet1k-train-0001.tar", "imagenet1k-validation-00.tar")


@pytest.mark.parametrize(
    "stem", ["imagenet1k-train-0000", "train_3", "TRAIN-1", "x.train.7", "training-00000-of-00002"]
)
def test_words_in_names_tell_the_split(stem: str) -> None:
    assert split_of(stem) == "train"
    assert split_of(stem.lower().replace("training", "train").replace("train", "val")) == "validation"


@pytest.mark.parametrize("stem", ["00000", "trains-1", "train-val-1", "constrain-1", "evaluation-0"])
def test_other_names_tell_none(stem: str) -> None:
    assert split_of(stem) is None


def test_published_names_make_two_splits(tmp_path: Path) -> None:
    expected = {"train": [*HUB[:2]], "validation": [HUB[2]]}
    assert split(touch(tmp_path, *HUB)) == (expected, [])
    assert split(tmp_path, "*-train-*") == ({"": [*HUB[:2]]}, [])


def test_info_json_goes_before_names(tmp_path: Path) -> None:
    touch(tmp_path, "a-0.tar", "a-1.tar", "b-0.tar")
    info = {"splits": {"train": {"filenames": ["a-0.tar", "b-0.tar", "c.tar"]}, "val": {"filenames": ["a-1.tar"]}}}
    (tmp_path / "_info.json").write_text(json.dumps(info))
    groups, notes = split(tmp_path)
    assert groups == {"train": ["a-0.tar", "b-0.tar"], "validation": ["a-1.tar"]}
    assert notes == [f"train: 1 of 3 tars in _info.json are not in {tmp_path}: c.tar"]
    touch(tmp_path, "d.tar")
    with pytest.raises(ShardError, match=r"tars of more than one set, found d.tar beside tars of train and validation"):
        split(tmp_path)


def test_what_nothing_tells_apart_is_refused_with_the_flag_that_decides(tmp_path: Path) -> None:
    touch(tmp_path, "train-0.tar", "val-0.tar", "extra-0.tar")
    with pytest.raises(ShardError, match=r"found extra-0.tar beside tars of train and validation; .*--include GLOB"):
        split(tmp_path)
    with pytest.raises(ShardError, match=r"--include: fits no tar, found x\*, expected one like extra-0.tar"):
        split(tmp_path, "x*")
    assert split(tmp_path, "[tv]*")[0] == {"train": ["train-0.tar"], "validation": ["val-0.tar"]}


def test_one_kind_of_tars_stays_one_set(tmp_path: Path) -> None:
    assert split(touch(tmp_path, "00000.tar", "00001.tar"))[0] == {"": ["00000.tar", "00001.tar"]}
    (tmp_path / "_info.json").write_text('{"splits": {"train": {"filenames": ["00000.tar", "00001.tar"]}}}')
    assert split(tmp_path)[0] == {"": ["00000.tar", "00001.tar"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"splits": {"val": {"filenames": ["a"]}, "validation": {"filenames": ["b"]}}}', "names a split twice"),
        ('{"splits": {"train": {"filenames": ["a"]}, "val": {"filenames": ["a"]}}}', "names a file in two splits"),
    ],
)
def test_an_info_json_that_makes_no_sense_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (touch(tmp_path, "a.tar") / "_info.json").write_text(content)
    with pytest.raises(ShardError, match=message):
        split(tmp_path)
