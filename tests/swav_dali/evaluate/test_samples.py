"""Keys and labelled parts of sets that other tools wrote, whose labels may be nowhere but in the index."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
import training
from tars import write_tar

from shards.building.indexing import IndexRules, index_splits
from shards.sources.tar_samples import parse_label_field
from shards.tars.shardset import ShardSet, load_shard_set
from swav_dali.evaluate.samples import sample_keys, sample_places
from swav_dali.evaluate.subset import labelled_part


class Inline(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(params=["cls", "json"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> ShardSet:
    """Two tars of 6 samples with keys of their own; sample n has label n % 3, in a cls member or in a json."""
    training.draw_folder(tmp_path / "drawn", num_images=12, seed=3)
    pictures = [path.read_bytes() for path in sorted((tmp_path / "drawn").rglob("*.jpg"))]
    for tar in range(2):
        parts: list[tuple[str, bytes]] = []
        for number in range(6 * tar, 6 * tar + 6):
            label = b"%d" % (number % 3) if request.param == "cls" else json.dumps({"y": number % 3}).encode()
            parts += [(f"cats/{number}.jpg", pictures[number]), (f"cats/{number}.{request.param}", label)]
        write_tar(tmp_path / f"x-{tar}.tar", parts)
    rules = IndexRules(label_field=parse_label_field("json:y") if request.param == "json" else None)
    index_splits(tmp_path, {"": tuple(sorted(tmp_path.glob("*.tar")))}, Inline(), rules)
    return load_shard_set(tmp_path)


def test_keys_are_the_names_in_the_tars(shards: ShardSet) -> None:
    assert sample_keys(shards) == {number: f"cats/{number}" for number in range(12)}


def test_a_share_of_every_class_and_a_list_of_keys_give_parts_that_keep_their_numbers(
    shards: ShardSet, tmp_path: Path
) -> None:
    with labelled_part(shards, 0.5, seed=1) as part:
        labels = sorted(place.number % 3 for place in sample_places(part))
    assert labels == [0, 0, 1, 1, 2, 2]
    listed = tmp_path / "list.txt"
    listed.write_text("cats/11.jpg\ncats/4\n")
    with labelled_part(shards, listed, seed=1) as part:
        assert sample_keys(part) == {4: "cats/4", 11: "cats/11"}
