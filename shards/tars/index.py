"""DALI's index text, version v1.2: which members make up each sample of a tar, and where their bytes are.

First line `v1.2 NUM_SAMPLES`; then per sample, repeated for each member, `SUFFIX OFFSET SIZE NAME`. OFFSET is where the
data start, SIZE is in bytes. Names and suffixes may hold no white space. The reader takes the samples that the index
names and no others, so the index is the gate for what a pipeline sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shards.errors import ShardError

VERSION = "v1.2"


class IndexMember(NamedTuple):
    """One member of a sample as the index names it; `offset` and `size` in bytes."""

    suffix: str
    offset: int
    size: int
    name: str


def format_index(samples: Sequence[Sequence[IndexMember]]) -> bytes:
    """The index file of these samples."""
    lines = [f"{VERSION} {len(samples)}"]
    lines += [" ".join(f"{m.suffix} {m.offset} {m.size} {m.name}" for m in sample) for sample in samples]
    return ("\n".join(lines) + "\n").encode()


def parse_index(content: bytes, *, where: object) -> list[list[IndexMember]]:
    """Read an index's bytes; `where` names the file in the `ShardError` raised when it is malformed."""
    lines = content.decode("utf-8", "replace").splitlines()
    head = lines[0].split() if lines else []
    if len(head) != 2 or head[0] != VERSION or not head[1].isdigit():
        raise ShardError("not a DALI index", where=where, found=lines[:1], expected=f"{VERSION} NUM_SAMPLES")
    if int(head[1]) != len(lines) - 1:
        raise ShardError("index is cut or extended", where=where, found=f"{len(lines) - 1} samples", expected=head[1])
    return [_parse_line(line, where=f"{where}:{number}") for number, line in enumerate(lines[1:], start=2)]


def _parse_line(line: str, *, where: str) -> list[IndexMember]:
    fields = line.split(" ")
    if len(fields) % 4 or not all(number.isdigit() for i in (1, 2) for number in fields[i::4]):
        raise ShardError("malformed index line", where=where, found=repr(line), expected="SUFFIX OFFSET SIZE NAME ...")
    groups = zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=True)
    return [IndexMember(suffix, int(offset), int(size), name) for suffix, offset, size, name in groups]
