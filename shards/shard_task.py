"""The unit of work: one whole shard, from the source's bytes to files under their final names.

A task is picklable and complete in itself, so any executor may run it anywhere that sees the source and the output
folder. Running it twice does no harm: the same bytes replace themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from shards.atomic import sync_folder, temporary_beside, write_whole
from shards.errors import ShardError
from shards.index import format_index
from shards.listing import UNLABELLED, Listing, SampleRef
from shards.manifest import ShardEntry, sha256_of
from shards.plan import key_of
from shards.record import BUILD_FOLDER, ShardRecord, record_path
from shards.sniff import true_suffix
from shards.sources.base import Reader
from shards.tar_file import TarFile, verify_against_index


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Everything that writing one shard needs.

    Attributes:
        number: the shard's position, which is in its file name.
        first: number of its first sample.
        samples: its rows, in the order of their keys.
        plan: fingerprint of the plan and options, kept in the record.
    """

    out: Path
    name: str
    number: int
    first: int
    samples: Listing
    reader: Reader
    plan: str

    @property
    def stem(self) -> str:
        """File name of tar and index without the suffix."""
        return stem_of(self.name, self.number)


def stem_of(name: str, number: int) -> str:
    """File name of shard `number` without the suffix. No dots: DALI's tools cut a name at the first one."""
    return f"{name}-{number:06d}"


def write_shard(task: ShardTask) -> ShardRecord:
    """Write a shard's tar, index and record, each by rename and in this order.

    Raises:
        ShardError: a sample cannot be read or is no picture, or the shard does not read back as written.
    """
    work = task.out / BUILD_FOLDER
    tar = temporary_beside(work / f"{task.stem}.tar")
    try:
        with TarFile(tar) as file:
            _add_samples(file, task)
            tar_sha256 = file.finish()
        verify_against_index(tar, file.samples, num_bytes=file.num_bytes)
        index = format_index(file.samples)
        entry = ShardEntry(
            tar=f"{task.stem}.tar",
            idx=f"{task.stem}.idx",
            num_samples=len(file.samples),
            tar_bytes=file.num_bytes,
            tar_sha256=tar_sha256,
            idx_sha256=sha256_of(index),
        )
        write_whole(task.out / entry.idx, index, temporary=temporary_beside(work / entry.idx))
        tar.replace(task.out / entry.tar)
    finally:
        tar.unlink(missing_ok=True)
    sync_folder(task.out)
    record = ShardRecord(plan=task.plan, number=task.number, entry=entry)
    write_whole(record_path(task.out, task.stem), record.to_bytes())
    return record


def _add_samples(file: TarFile, task: ShardTask) -> None:
    for number, sample in enumerate(task.samples, start=task.first):
        content = _read(task.reader, sample)
        suffix = true_suffix(content)
        if suffix is None:
            raise ShardError("not a picture", where=sample.name, found=content[:16], fix="remove the file")
        labelled = sample.label != UNLABELLED
        members = [(suffix, content), ("cls", b"%d" % sample.label)] if labelled else [(suffix, content)]
        file.add(key_of(number), [*members, ("json", _describe(sample))], num_indexed=len(members))


def _read(reader: Reader, sample: SampleRef) -> bytes:
    try:
        return reader.read(sample)
    except OSError as error:
        raise ShardError("cannot be read", where=sample.name, found=error, fix="repair or remove the file") from None


def _describe(sample: SampleRef) -> bytes:
    """The sample's json. Names that are no valid UTF-8 keep their bytes as escapes."""
    text = json.dumps({"name": sample.name}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")
