"""Batches from tars that other people wrote and `index` serves: sample numbers and labels whatever their keys are."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
import torch
from tars import write_tar

from pipelines.config import LoaderOptions
from pipelines.errors import PipelineError
from pipelines.images import ImagePlan, open_images
from shards.building.indexing import IndexRules, index_splits
from shards.sources.tar_samples import parse_label_field
from shards.tars.index import IndexMember, format_index
from shards.tars.manifest import Manifest, ShardEntry, sha256_of
from shards.tars.shardset import ShardSet, load_shard_set

KEYS: dict[str, Callable[[int, int], str]] = {
    "timm": lambda tar, k: f"n0144076{tar}_tench_{k}",
    "subdirectories": lambda tar, k: f"./train/n0144/{tar}/{k:04d}",
    "letters": lambda tar, k: f"tar{'abc'[tar]}picture{'abcdefgh'[k]}",
    "numbers anew in every tar": lambda tar, k: f"{k:04d}",
    "words after numbers": lambda tar, k: f"{tar:05d}_{k:05d}_photo",
    "colons and spaces": lambda tar, k: f"00:0{k}: tar {tar}",
}
PLAN = ImagePlan(resize=24, size=24, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class Inline(Executor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def write_foreign(root: Path, key: Callable[[int, int], str], picture: Callable[..., bytes], field: str) -> ShardSet:
    """Three tars of 8 samples; sample number n has picture n and label n % 5."""
    for tar in range(3):
        parts = []
        for k in range(8):
            number = 8 * tar + k
            label = b"%d\n" % (number % 5) if field == "cls" else json.dumps({"y": number % 5}).encode()
            parts += [(f"{key(tar, k)}.jpg", picture(number)), (f"{key(tar, k)}.{field}", label)]
        write_tar(root / f"x-{tar}.tar", parts)
    rules = IndexRules(label_field=parse_label_field("json:y") if field == "json" else None)
    index_splits(root, {"": tuple(sorted(root.glob("*.tar")))}, Inline(), rules)
    return load_shard_set(root)


STYLES = [*((style, "cls") for style in KEYS), ("timm", "json"), ("colons and spaces", "json")]


@pytest.mark.parametrize(("style", "field"), STYLES)
def test_samples_are_numbered_by_their_place_and_labelled(
    tmp_path: Path, picture: Callable[..., bytes], make_loader: Any, style: str, field: str
) -> None:
    shards = write_foreign(tmp_path, KEYS[style], picture, field)
    ranks = [make_loader(shards, rank=rank, world_size=2) for rank in range(2)]
    found = {int(n): int(label) for r in ranks for b in r for n, label in zip(b.sample_ids, b.labels, strict=True)}
    assert found == {number: number % 5 for number in range(24)}
    for loader in ranks:
        loader.close()


def test_numbers_are_the_same_after_a_resume_and_in_evaluation(
    tmp_path: Path, picture: Callable[..., bytes], make_loader: Any
) -> None:
    shards = write_foreign(tmp_path, KEYS["timm"], picture, "cls")
    whole, loader = list(make_loader(shards)), make_loader(shards)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    again = make_loader(shards)
    again.load_state_dict(state)
    assert [b.sample_ids.tolist() for b in again] == [b.sample_ids.tolist() for b in whole[1:]]
    options = LoaderOptions(threads=1)
    place = {"rank": 0, "world_size": 1, "device": torch.device("cpu"), "options": options}
    images = [(b.sample_ids.tolist(), b.labels.tolist()) for b in open_images(shards, PLAN, batch_size=24, **place)]
    assert images == [(list(range(24)), [number % 5 for number in range(24)])]


def test_a_state_saved_when_labels_had_eight_digits_is_continued_with_the_same_bits(
    make_set: Any, make_loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.reading.reader._LABEL_DIGITS", 8)
    loader = make_loader(make_set(24))
    batches = iter(loader)
    next(batches)
    state, expected = loader.state_dict(), next(batches)
    monkeypatch.undo()
    again = make_loader(make_set(24))
    again.load_state_dict(state)
    found = next(iter(again))
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.sample_ids, expected.sample_ids)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found.groups, expected.groups, strict=True))


def test_a_damaged_picture_is_named_as_its_tar_names_it(
    tmp_path: Path, picture: Callable[..., bytes], make_loader: Any
) -> None:
    shards = write_foreign(tmp_path, KEYS["timm"], picture, "cls")
    content = shards.shards[1].tar.read_bytes()
    shards.shards[1].tar.write_bytes(content.replace(picture(11), bytes(len(picture(11)))))
    with pytest.raises(PipelineError, match=r"x-1\.tar: n01440761_tench_3\.jpg at byte \d+: cannot be decoded"):
        list(make_loader(shards))


def test_an_index_without_numbers_says_how_to_get_them(
    tmp_path: Path, picture: Callable[..., bytes], make_loader: Any
) -> None:
    """As DALI's own tool and our earlier `index` wrote them."""
    write_tar(tmp_path / "x.tar", [(f"tench_{k}.jpg", picture(k)) for k in range(4)])
    content, samples = (tmp_path / "x.tar").read_bytes(), []
    for k in range(4):
        samples.append([IndexMember("jpg", content.index(picture(k)), len(picture(k)), f"tench_{k}.jpg")])
    (tmp_path / "x.idx").write_bytes(format_index(samples))
    sums = {"tar_sha256": sha256_of(content), "idx_sha256": sha256_of(format_index(samples))}
    entry = ShardEntry(tar="x.tar", idx="x.idx", num_samples=4, tar_bytes=len(content), **sums)
    manifest = Manifest(name="x", seed=0, classes=(), shards=(entry,), build={})
    (tmp_path / "manifest.json").write_bytes(manifest.to_bytes())
    with pytest.raises(PipelineError, match=r"without a number in its index, found tench_\d.jpg; .*shards index DIR"):
        list(make_loader(load_shard_set(tmp_path)))
