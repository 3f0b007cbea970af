"""The index text: read back, refused when cut or malformed, and accepted by DALI's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from nvidia.dali import fn, pipeline_def

from shards.errors import ShardError
from shards.sources.folders import ClassFolders
from shards.tars.index import IndexMember, format_index, parse_index
from shards.tars.shardset import load_shard_set

SAMPLES = [
    [IndexMember("jpg", 512, 100, "0.jpg"), IndexMember("cls", 1536, 1, "0.cls")],
    [IndexMember("png", 2560, 7, "1.png")],
]


def test_index_reads_back() -> None:
    content = format_index(SAMPLES)
    assert content == b"v1.2 2\njpg 512 100 0.jpg cls 1536 1 0.cls\npng 2560 7 1.png\n"
    assert parse_index(content, where="x.idx") == SAMPLES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a DALI index"),
        (b"v1.3 0\n", "not a DALI index"),
        (b"v1.2 2\njpg 512 100 0.jpg\n", "x.idx: index is cut or extended"),
        (b"v1.2 1\njpg 512 100 my 0.jpg\n", "x.idx:2: malformed"),
        (b"v1.2 1\njpg 512 ten 0.jpg\n", "x.idx:2: malformed"),
    ],
)
def test_what_is_no_index_is_refused_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        parse_index(content, where="x.idx")


def test_dali_reads_every_sample_through_the_index(
    tmp_path: Path, tree: Path, run_build: Callable[..., object]
) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.01)
    shards = load_shard_set(tmp_path / "out").shards

    @pipeline_def(batch_size=21, num_threads=1, device_id=None)
    def graph():  # type: ignore[no-untyped-def]
        jpeg, label = fn.readers.webdataset(
            paths=[str(s.tar) for s in shards],
            index_paths=[str(s.idx) for s in shards],
            ext=["jpg", "cls"],
            missing_component_behavior="error",
        )
        return fn.decoders.image(jpeg), label, fn.get_property(jpeg, key="source_info")

    pipe = graph()
    pipe.build()
    images, labels, sources = pipe.run()
    keys = [bytes(sources.at(i)).decode().rsplit(":", 1)[1] for i in range(21)]
    assert keys == [f"{number:09d}.jpg" for number in range(21)]
    assert {bytes(labels.at(i)) for i in range(21)} == {b"0", b"1", b"2"}
    assert {images.at(i).shape for i in range(21)} == {(16, 24, 3)}
