"""Hugging Face data sets: rows of encoded pictures, in parquet files or in a folder as `save_to_disk` writes it.

A picture column is a struct of `bytes` and `path`; the bytes are the original file's and are never decoded here. They
may be null with only a path, which is then read if it exists.

A row of a parquet file can only be had by reading its whole row group, so that source asks to be read in order
(`is_sequential`). Arrow streams are memory-mapped, and any row is read on its own.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from shards.errors import ShardError, missing_package
from shards.sources.listing import MAX_LABEL, UNLABELLED, Listing, ListingBuilder, SampleRef
from shards.sources.ranges import stamp_of

EXTRA = "sources"
INFO_NAME = "dataset_info.json"
STATE_NAME = "state.json"


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """Parquet files of one split, in order."""

    files: tuple[Path, ...]
    kind = "Hugging Face parquet"
    is_sequential = True

    @property
    def description(self) -> str:
        return f"{len(self.files)} parquet files in {self.files[0].parent}, {self.files[0].name} first"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of rows. Sizes are estimates, marked by a minus sign."""
        return _scan(self.files, _ParquetGroups, self._columns(), where=self.files[0])

    def reader(self) -> RowReader:
        return RowReader(files=self.files, image=self._columns().image, open_groups=_ParquetGroups)

    def _columns(self) -> Columns:
        schema = _ParquetGroups(self.files[0]).schema
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {})
        return find_columns(schema, info.get("features", {}), where=self.files[0])


@dataclass(frozen=True, kw_only=True)
class ArrowFolder:
    """A folder written by `Dataset.save_to_disk`."""

    root: Path
    kind = "Hugging Face arrow"
    is_sequential = False

    @property
    def description(self) -> str:
        return f"save_to_disk folder {self.root}"

    def scan(self) -> tuple[Listing, list[str]]:
        """In the order of rows."""
        files = self._files()
        return _scan(files, _ArrowGroups, self._columns(files[0]), where=self.root)

    def reader(self) -> RowReader:
        files = self._files()
        return RowReader(files=files, image=self._columns(files[0]).image, open_groups=_ArrowGroups)

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
        return find_columns(_open_arrow(first).schema, features, where=self.root)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns in use. `label` is None where there is none; `classes` is empty where names are unknown."""

    image: str
    label: str | None
    classes: tuple[str, ...]


class Rows(NamedTuple):
    """What a listing needs of some rows: paths as kept, sizes in bytes as in `SampleRef`, and labels."""

    paths: list[str | None]
    sizes: list[int]
    labels: list[int]


class Groups(Protocol):
    """The rows of one file, in the groups that it is read in. `starts` are their first rows, and the end's."""

    starts: list[int]

    def rows(self, number: int, columns: Columns) -> Rows:
        """Everything about a group's rows but the pictures."""
        ...

    def pictures(self, number: int, image: str) -> Any:
        """The picture column of a group."""
        ...


class _ParquetGroups:
    def __init__(self, path: Path) -> None:
        self._path, file = path, _open_parquet(path)
        self.schema, self._metadata = file.schema_arrow, file.metadata
        lengths = (self._metadata.row_group(number).num_rows for number in range(file.num_row_groups))
        self.starts = [0, *accumulate(lengths)]

    def rows(self, number: int, columns: Columns) -> Rows:
        wanted = [f"{columns.image}.path", *([columns.label] if columns.label else [])]
        table = _open_parquet(self._path).read_row_group(number, columns=wanted)
        paths = table.column(columns.image).combine_chunks().field("path").to_pylist()
        mean = self._metadata.row_group(number).total_byte_size // max(1, len(paths))
        return Rows(paths, [-max(1, mean)] * len(paths), _labels(table, columns, len(paths)))

    def pictures(self, number: int, image: str) -> Any:
        return _open_parquet(self._path).read_row_group(number, columns=[image]).column(0)


class _ArrowGroups:
    def __init__(self, path: Path) -> None:
        self._batches = list(_open_arrow(path))
        self.starts = [0, *accumulate(len(batch) for batch in self._batches)]

    def rows(self, number: int, columns: Columns) -> Rows:
        import pyarrow.compute

        batch = self._batches[number]
        pictures = batch.column(columns.image)
        paths = pictures.field("path").to_pylist()
        lengths = pyarrow.compute.binary_length(pictures.field("bytes")).to_pylist()
        sizes = [-1 if length is None else int(length) for length in lengths]  # a row may have no more than a path
        return Rows(paths, sizes, _labels(batch, columns, len(paths)))

    def pictures(self, number: int, image: str) -> Any:
        return self._batches[number].column(image)


@dataclass(kw_only=True)
class RowReader:
    """Reads rows: of arrow files in any order, of parquet files quickly only in their own."""

    files: tuple[Path, ...]
    image: str
    open_groups: Callable[[Path], Groups]
    _groups: dict[int, Groups] = field(default_factory=dict, repr=False)  # by container
    _last: tuple[int, int, Any] = field(default=(-1, -1, None), repr=False)  # container, group, its pictures

    def read(self, sample: SampleRef) -> bytes:
        return picture_bytes(partial(self._row, sample), self.files[sample.container].parent)

    def _row(self, sample: SampleRef) -> Any:
        container = sample.container
        if container not in self._groups:
            self._groups[container] = self.open_groups(self.files[container])
        groups = self._groups[container]
        number = bisect_right(groups.starts, sample.offset) - 1
        if self._last[:2] != (container, number):
            self._last = container, number, groups.pictures(number, self.image)
        return self._last[2][sample.offset - groups.starts[number]]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_groups": {}, "_last": (-1, -1, None)}


def import_pyarrow() -> Any:
    """The pyarrow package. Raises `UserError` naming the extra to install when it is absent."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise missing_package("pyarrow", "reading parquet and arrow files", extra=EXTRA) from None
    return pyarrow


def find_columns(schema: Any, features: dict[str, Any], *, where: Path) -> Columns:
    """The picture and label columns of a pyarrow schema. `features` is Hugging Face's description of the columns."""
    types = import_pyarrow().types
    images = [field.name for field in schema if _is_picture(field.type, types)]
    if not images:
        expected = "a struct of bytes and path"
        raise ShardError("no column of pictures", where=where, found=schema.names, expected=expected)
    image = "image" if "image" in images else images[0]
    labels = [name for name in ("label", "labels", "fine_label", "cls") if name in schema.names]
    label = labels[0] if labels and types.is_integer(schema.field(labels[0]).type) else None
    names = features.get(label, {}).get("names", []) if label else []
    return Columns(image=image, label=label, classes=tuple(names))


def picture_bytes(read_row: Callable[[], Any], beside: Path) -> bytes:
    """The bytes of the picture in a row, or of the file beside the data set that it points at.

    Raises OSError when they cannot be had, whoever says so, and the policy for unreadable pictures then decides.
    """
    try:
        row = read_row()
        content: bytes | None = row["bytes"].as_py()
        path: str | None = row["path"].as_py()
    except import_pyarrow().ArrowException as error:
        raise OSError(str(error)) from error
    if content is not None:
        return content
    if path is None:
        raise OSError("neither bytes nor a path in the row")
    return (beside / path).read_bytes()


def _scan(
    files: tuple[Path, ...], open_groups: Callable[[Path], Groups], columns: Columns, *, where: Path
) -> tuple[Listing, list[str]]:
    """All rows of all files; a sample's name is its original path, or its place where none was kept."""
    builder, labels = ListingBuilder(), set[int]()
    for container, file in enumerate(files):
        with _damage_named(file):
            groups, stamp = open_groups(file), stamp_of(file)
            for number, start in enumerate(groups.starts[:-1]):
                rows = groups.rows(number, columns)
                labels.update(rows.labels)
                for row, (path, size, label) in enumerate(zip(*rows, strict=True), start=start):
                    place = {"container": container, "offset": row, "stamp": stamp}
                    builder.add(path or f"{file.name}/{row:09d}", size=size, label=label, **place)
    if not len(builder):
        raise ShardError("no rows", where=where)
    return builder.finish(_class_names(labels, columns.classes)), []


def _labels(table: Any, columns: Columns, num_rows: int) -> list[int]:
    return table.column(columns.label).to_pylist() if columns.label else [UNLABELLED] * num_rows


def _class_names(labels: Iterable[int], names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of a set with these labels; numbers stand in for names that are not known."""
    highest = max(labels, default=UNLABELLED)
    if highest > MAX_LABEL:
        raise ShardError("a label is not a number of a class", found=highest, expected=f"0 to {MAX_LABEL:,}")
    return names if len(names) > highest >= 0 else tuple(str(label) for label in range(highest + 1))


def _is_picture(kind: Any, types: Any) -> bool:
    if not types.is_struct(kind):
        return False
    return {"bytes", "path"} <= {kind.field(number).name for number in range(kind.num_fields)}


def _open_parquet(file: Path) -> Any:
    with _damage_named(file):
        return import_pyarrow().parquet.ParquetFile(file)


def _open_arrow(file: Path) -> Any:
    pyarrow = import_pyarrow()
    with _damage_named(file):
        return pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Raise `ShardError` with the file's name for what Arrow or the system says of it."""
    try:
        yield
    except (OSError, import_pyarrow().ArrowException) as error:
        what = "a damaged parquet file" if file.suffix == ".parquet" else "a damaged arrow file"
        found = " ".join(str(error).split())
        raise ShardError(what, where=file, found=found, fix="fetch it again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise ShardError("not JSON", where=path, found=error, fix="fetch it again") from None
    return content
