"""Parquet and arrow files laid out as Hugging Face does, written with pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import ShardError
from shards.sources.hf_rows import ArrowFolder, ParquetFiles
from shards.sources.recognise import recognise
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]
Row = tuple[bytes | None, str | None, int]
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat"]}}


@pytest.fixture
def rows(make_picture: Callable[..., bytes]) -> list[Row]:
    return [(make_picture(number), f"img_{number}_n0{number % 3}.JPEG", number % 3) for number in range(25)]


def table(rows: list[Row], features: dict[str, Any]) -> pa.Table:
    image = pa.array(
        [{"bytes": content, "path": path} for content, path, _ in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    label = pa.array([label for *_, label in rows], pa.int64())
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.table({"image": image, "label": label}).replace_schema_metadata(metadata)


def write_parquet(folder: Path, rows: list[Row], split: str = "train") -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate((rows[:15], rows[15:])):
        pq.write_table(
            table(part, FEATURES), folder / "data" / f"{split}-{number:05d}-of-00002.parquet", row_group_size=4
        )


def write_arrow(folder: Path, rows: list[Row], **state: object) -> Path:
    folder.mkdir(parents=True)
    names = []
    for number, part in enumerate((rows[:15], rows[15:])):
        names.append(f"data-{number:05d}-of-00002.arrow")
        whole = table(part, {})
        with pa.OSFile(str(folder / names[-1]), "wb") as sink, pa.ipc.new_stream(sink, whole.schema) as stream:
            stream.write_table(whole, max_chunksize=4)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names], **state}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def read_all(source: Any) -> list[Row]:
    listing, _ = source.scan()
    reader = source.reader()
    return [(reader.read(sample), sample.name, sample.label) for sample in listing]


def test_parquet_rows_come_with_bytes_names_labels_and_classes(tmp_path: Path, rows: list[Row]) -> None:
    write_parquet(tmp_path, rows)
    source = recognise(tmp_path)[""]
    assert isinstance(source, ParquetFiles)
    assert read_all(source) == rows
    assert source.scan()[0].classes == ("ant", "bee", "cat")


def test_arrow_rows_come_with_bytes_names_labels_and_classes(tmp_path: Path, rows: list[Row]) -> None:
    source = recognise(write_arrow(tmp_path / "ds", rows))[""]
    assert isinstance(source, ArrowFolder)
    assert read_all(source) == rows
    assert source.scan()[0].classes == ("ant", "bee", "cat")


def test_splits_are_found(tmp_path: Path, rows: list[Row]) -> None:
    write_parquet(tmp_path / "p", rows)
    write_parquet(tmp_path / "p", rows, split="validation")
    write_arrow(tmp_path / "a" / "train", rows)
    write_arrow(tmp_path / "a" / "test", rows)
    assert sorted(recognise(tmp_path / "p")) == ["train", "validation"]
    assert sorted(recognise(tmp_path / "a")) == ["test", "train"]


def test_both_give_the_same_samples_in_shards(tmp_path: Path, rows: list[Row], run_build: Run) -> None:
    write_parquet(tmp_path / "p", rows)
    write_arrow(tmp_path / "a", rows)
    tars = []
    for name in ("p", "a"):
        manifest, _ = run_build(recognise(tmp_path / name)[""], tmp_path / f"out-{name}", name="x")
        assert (manifest.num_samples, manifest.num_dropped) == (25, 0)
        tars.append((tmp_path / f"out-{name}" / "x-000000.tar").read_bytes())
    assert tars[0] == tars[1]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_null_bytes_are_read_from_the_path_or_fail_loudly(tmp_path: Path, rows: list[Row], kind: str) -> None:
    content, path, label = rows[3]
    rows[3] = (None, path, label)
    if kind == "parquet":
        write_parquet(tmp_path / "ds", rows)
        folder = tmp_path / "ds" / "data"
    else:
        folder = write_arrow(tmp_path / "ds", rows)
    source = recognise(tmp_path / "ds")[""]
    with pytest.raises(OSError, match="No such file"):
        read_all(source)
    assert path is not None
    assert content is not None
    (folder / path).write_bytes(content)
    assert read_all(source)[3] == (content, path, label)


def test_test_splits_without_labels_are_unlabelled(tmp_path: Path, rows: list[Row]) -> None:
    write_parquet(tmp_path, [(content, None, -1) for content, _, _ in rows])
    listing, _ = recognise(tmp_path)[""].scan()
    assert listing.classes == ()
    assert listing[16].name == "train-00001-of-00002.parquet/000000001"


def test_an_arrow_folder_with_a_row_index_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    folder = write_arrow(tmp_path / "ds", rows, _indices_files=[{"filename": "indices.arrow"}])
    with pytest.raises(ShardError, match=r"rows are chosen by an index file; call flatten_indices"):
        recognise(folder)[""].scan()


def test_a_table_without_pictures_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "train.parquet")
    with pytest.raises(ShardError, match=r"no column of pictures, found \['text'\]"):
        recognise(tmp_path)[""].scan()
