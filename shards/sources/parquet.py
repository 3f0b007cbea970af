"""Hugging Face parquet files: rows of encoded pictures, read one row group at a time.

A row can only be had by reading its whole row group, so this source asks to be read in order (`is_sequential`).
"""

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


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """Parquet files of one split, in order."""

    files: tuple[Path, ...]
    kind = "Hugging Face parquet"
    is_sequential = True

    @property
    def description(self) -> str:
        """For a person."""
        return f"{len(self.files)} parquet files in {self.files[0].parent}, {self.files[0].name} first"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of rows; see `Source.scan`. Sizes are estimates, marked by a minus sign."""
        columns, builder = self._columns(), ListingBuilder()
        labels: set[int] = set()
        for number, file in enumerate(self.files):
            with damage_named(file, "parquet"):
                labels |= _add_rows(builder, file, number, columns)
        if not len(builder):
            raise ShardError("no rows", where=self.files[0])
        return builder.finish(class_names(labels, columns.classes)), []

    def reader(self) -> ParquetReader:
        """Reads row groups and keeps the last one."""
        return ParquetReader(files=self.files, image=self._columns().image)

    def _columns(self) -> Columns:
        schema = _open(self.files[0]).schema_arrow
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {})
        return find_columns(schema, info.get("features", {}), where=self.files[0])


@dataclass(kw_only=True)
class ParquetReader:
    """Reads rows; quick only when they are asked for in order."""

    files: tuple[Path, ...]
    image: str
    _group: tuple[int, int, Any] | None = field(default=None, repr=False)  # container, first row, rows
    _starts: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def read(self, sample: SampleRef) -> bytes:
        """The row's bytes."""
        return picture_bytes(partial(self._row, sample), self.files[sample.container].parent)

    def _row(self, sample: SampleRef) -> Any:
        return self._rows_around(sample)[sample.offset - self._first_row()]

    def _first_row(self) -> int:
        assert self._group is not None
        return self._group[1]

    def _rows_around(self, sample: SampleRef) -> Any:
        group = self._group
        if group is None or group[0] != sample.container or not group[1] <= sample.offset < group[1] + len(group[2]):
            group = self._group = self._read_group(sample.container, sample.offset)
        return group[2]

    def _read_group(self, container: int, row: int) -> tuple[int, int, Any]:
        file = _open(self.files[container])
        starts = self._starts.setdefault(container, _group_starts(file))
        number = bisect_right(starts, row) - 1
        return container, starts[number], file.read_row_group(number, columns=[self.image]).column(0)

    def __getstate__(self) -> dict[str, object]:
        return {"files": self.files, "image": self.image, "_group": None, "_starts": {}}


def _open(file: Path) -> Any:
    with damage_named(file, "parquet"):
        return import_pyarrow().parquet.ParquetFile(file)


def _group_starts(file: Any) -> list[int]:
    """First row of every row group."""
    starts, row = [], 0
    for number in range(file.num_row_groups):
        starts.append(row)
        row += file.metadata.row_group(number).num_rows
    return starts


def _add_rows(builder: ListingBuilder, file: Path, container: int, columns: Columns) -> set[int]:
    """Add a file's rows without reading their pictures; returns the labels met."""
    parquet, labels, row, stamp = _open(file), set[int](), 0, stamp_of(file)
    wanted = [f"{columns.image}.path", *([columns.label] if columns.label else [])]
    for number in range(parquet.num_row_groups):
        table = parquet.read_row_group(number, columns=wanted)
        paths = table.column(columns.image).combine_chunks().field("path").to_pylist()
        values = table.column(columns.label).to_pylist() if columns.label else [-1] * len(paths)
        mean = parquet.metadata.row_group(number).total_byte_size // max(1, len(paths))
        for path, label in zip(paths, values, strict=True):
            place = {"container": container, "offset": row, "stamp": stamp}
            builder.add(row_name(path, file, row), size=-max(1, mean), label=label, **place)
            row += 1
        labels.update(values)
    return labels
