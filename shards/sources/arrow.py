"""Hugging Face `save_to_disk` folders: arrow streams, memory-mapped, so that any row is read on its own."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from shards.errors import ShardError
from shards.sources.hf_columns import (
    Columns,
    class_names,
    damage_named,
    find_columns,
    import_pyarrow,
    picture_bytes,
    row_name,
)
from shards.sources.listing import Listing, ListingBuilder, SampleRef
from shards.sources.ranges import stamp_of

INFO_NAME = "dataset_info.json"
STATE_NAME = "state.json"


@dataclass(frozen=True, kw_only=True)
class ArrowFolder:
    """A folder written by `Dataset.save_to_disk`."""

    root: Path
    kind = "Hugging Face arrow"
    is_sequential = False

    @property
    def description(self) -> str:
        """For a person."""
        return f"save_to_disk folder {self.root}"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of rows; see `Source.scan`."""
        builder, labels = ListingBuilder(), set[int]()
        files = self._files()
        columns = self._columns(files[0])
        for number, file in enumerate(files):
            with damage_named(file, "arrow"):
                labels |= _add_rows(builder, file, number, columns)
        if not len(builder):
            raise ShardError("no rows", where=self.root)
        return builder.finish(class_names(labels, columns.classes)), []

    def reader(self) -> ArrowReader:
        """Reads from memory maps."""
        files = self._files()
        return ArrowReader(files=files, image=self._columns(files[0]).image)

    def _files(self) -> tuple[Path, ...]:
        state = _read_json(self.root / STATE_NAME)
        if state.get("_indices_files"):
            fix = "call flatten_indices() and save_to_disk() again"
            raise ShardError("rows are chosen by an index file", where=self.root / STATE_NAME, fix=fix)
        files = tuple(self.root / file["filename"] for file in state["_data_files"])
        if missing := [file for file in files if not file.is_file()]:
            raise ShardError("named in state.json but missing", where=missing[0])
        return files

    def _columns(self, first: Path) -> Columns:
        features = _read_json(self.root / INFO_NAME).get("features") or {}
        return find_columns(_open(first).schema, features, where=self.root)


@dataclass(kw_only=True)
class ArrowReader:
    """Reads rows in any order."""

    files: tuple[Path, ...]
    image: str
    _columns: dict[int, tuple[list[int], list[Any]]] = field(default_factory=dict, repr=False)

    def read(self, sample: SampleRef) -> bytes:
        """The row's bytes."""
        return picture_bytes(partial(self._row, sample), self.files[sample.container].parent)

    def _row(self, sample: SampleRef) -> Any:
        starts, batches = self._open(sample.container)
        number = bisect_right(starts, sample.offset) - 1
        return batches[number][sample.offset - starts[number]]

    def _open(self, container: int) -> tuple[list[int], list[Any]]:
        if container not in self._columns:
            batches = [batch.column(self.image) for batch in _open(self.files[container])]
            starts = [sum(len(batch) for batch in batches[:number]) for number in range(len(batches))]
            self._columns[container] = (starts, batches)
        return self._columns[container]

    def __getstate__(self) -> dict[str, object]:
        return {"files": self.files, "image": self.image, "_columns": {}}


def _open(file: Path) -> Any:
    pyarrow = import_pyarrow()
    with damage_named(file, "arrow"):
        return pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise ShardError("not JSON", where=path, found=error, fix="fetch it again") from None
    return content


def _add_rows(builder: ListingBuilder, file: Path, container: int, columns: Columns) -> set[int]:
    """Add a file's rows; returns the labels met."""
    labels, row, stamp = set[int](), 0, stamp_of(file)
    for batch in _open(file):
        pictures = batch.column(columns.image)
        paths, sizes = pictures.field("path").to_pylist(), _sizes(pictures.field("bytes"))
        values = batch.column(columns.label).to_pylist() if columns.label else [-1] * len(paths)
        for path, size, label in zip(paths, sizes, values, strict=True):
            place = {"container": container, "offset": row, "stamp": stamp}
            builder.add(row_name(path, file, row), size=size, label=label, **place)
            row += 1
        labels.update(values)
    return labels


def _sizes(column: Any) -> list[int]:
    """Bytes per row; -1 where the row only has a path."""
    import pyarrow.compute

    return [-1 if size is None else int(size) for size in pyarrow.compute.binary_length(column).to_pylist()]
