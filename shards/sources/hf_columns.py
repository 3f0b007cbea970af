"""How Hugging Face data sets lay out pictures in columns: which column is the picture, which the label, which names.

A picture column is a struct of `bytes` and `path`; the bytes are the original file's and are never decoded here. They
may be null with only a path, which is then read if it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import ShardError, missing_package
from shards.sources.listing import MAX_LABEL

EXTRA = "sources"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns in use. `label` is None where there is none; `classes` is empty where names are unknown."""

    image: str
    label: str | None
    classes: tuple[str, ...]


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
    pyarrow = import_pyarrow()
    images = [field.name for field in schema if _is_picture(field.type, pyarrow)]
    if not images:
        raise ShardError(
            "no column of pictures", where=where, found=schema.names, expected="a struct of bytes and path"
        )
    image = "image" if "image" in images else images[0]
    labels = [name for name in ("label", "labels", "fine_label", "cls") if name in schema.names]
    label = labels[0] if labels and pyarrow.types.is_integer(schema.field(labels[0]).type) else None
    names = features.get(label, {}).get("names", []) if label else []
    return Columns(image=image, label=label, classes=tuple(names))


def row_name(path: str | None, file: Path, row: int) -> str:
    """A sample's name: its original path, or its place where none was kept."""
    return path or f"{file.name}/{row:09d}"


@contextmanager
def damage_named(file: Path, kind: str) -> Iterator[None]:
    """Raise `ShardError` with the file's name for what Arrow or the system says of it."""
    try:
        yield
    except (OSError, import_pyarrow().ArrowException) as error:
        found = " ".join(str(error).split())
        raise ShardError(f"a damaged {kind} file", where=file, found=found, fix="fetch it again") from None


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


def class_names(labels: Iterable[int], names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of a set with these labels; numbers stand in for names that are not known."""
    highest = max(labels, default=-1)
    if highest > MAX_LABEL:
        raise ShardError("a label is not a number of a class", found=highest, expected=f"0 to {MAX_LABEL:,}")
    if highest < 0:
        return ()
    return names if len(names) > highest else tuple(str(label) for label in range(highest + 1))


def _is_picture(kind: Any, pyarrow: Any) -> bool:
    if not pyarrow.types.is_struct(kind):
        return False
    return {"bytes", "path"} <= {kind.field(number).name for number in range(kind.num_fields)}
