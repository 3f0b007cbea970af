"""The unit of work: one whole shard, from the source's bytes to files under their final names.

A task is picklable and complete in itself, so any executor may run it anywhere that sees the source and the output
folder. Running it twice does no harm: the same bytes replace themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from shards.atomic import sync_folder, temporary_beside, write_whole
from shards.index import format_index
from shards.judge import Event, Judge
from shards.listing import UNLABELLED, Listing, SampleRef
from shards.manifest import ShardEntry, sha256_of
from shards.plan import key_of
from shards.quarantine import quarantine
from shards.record import BUILD_FOLDER, NO_DIGEST, ShardRecord, digest_of, record_path
from shards.sources.base import Reader
from shards.tar_file import TarFile, verify_against_index

_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Everything that writing one shard needs.

    Attributes:
        number: the shard's position, which is in its file name.
        first: number of its first sample.
        samples: its rows, in the order of their keys.
        judge: checks every picture and says what is written.
        plan: fingerprint of the plan and options, kept in the record.
    """

    out: Path
    name: str
    number: int
    first: int
    samples: Listing
    reader: Reader
    judge: Judge
    plan: str

    @property
    def stem(self) -> str:
        """File name of tar and index without the suffix."""
        return stem_of(self.name, self.number)


def stem_of(name: str, number: int) -> str:
    """File name of shard `number` without the suffix. No dots: DALI's tools cut a name at the first one."""
    return f"{name}-{number:06d}"


@dataclass(kw_only=True)
class Tally:
    """What writing a shard brings to light: events in order, one digest per sample, bytes read and written."""

    events: list[Event] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0


def write_shard(task: ShardTask) -> ShardRecord:
    """Write a shard's tar, index and record, each by rename and in this order.

    A shard of which nothing is left after checking has a record but no files.

    Raises:
        ShardError: the policy for a sample's trouble is to stop, or the shard does not read back as written.
    """
    tar, tally = temporary_beside(task.out / BUILD_FOLDER / f"{task.stem}.tar"), Tally()
    try:
        with TarFile(tar) as file:
            _add_samples(file, task, tally)
            tar_sha256 = file.finish()
        verify_against_index(tar, file.samples, num_bytes=file.num_bytes)
        entry = _publish(task, tar, file, tar_sha256)
    finally:
        tar.unlink(missing_ok=True)
    record = ShardRecord(
        plan=task.plan,
        number=task.number,
        entry=entry,
        events=tally.events,
        digests="".join(tally.digests),
        bytes_in=tally.bytes_in,
        bytes_out=tally.bytes_out,
    )
    write_whole(record_path(task.out, task.stem), record.to_bytes())
    return record


def _publish(task: ShardTask, tar: Path, file: TarFile, tar_sha256: str) -> ShardEntry:
    """Give the verified tar and its index their names."""
    index = format_index(file.samples)
    entry = ShardEntry(
        tar=f"{task.stem}.tar",
        idx=f"{task.stem}.idx",
        num_samples=len(file.samples),
        tar_bytes=file.num_bytes,
        tar_sha256=tar_sha256,
        idx_sha256=sha256_of(index),
    )
    if entry.num_samples:
        temporary = temporary_beside(task.out / BUILD_FOLDER / entry.idx)
        write_whole(task.out / entry.idx, index, temporary=temporary)
        tar.replace(task.out / entry.tar)
        sync_folder(task.out)
    return entry


def _add_samples(file: TarFile, task: ShardTask, tally: Tally) -> None:
    for number, sample in enumerate(task.samples, start=task.first):
        key = key_of(number)
        try:
            content = task.reader.read(sample)
            verdict = task.judge.judge(sample.name, content)
        except OSError as error:
            content, verdict = b"", task.judge.judge_unreadable(sample.name, error)
        tally.events += [{"key": key, **event} for event in verdict.events]
        if verdict.suffix is None:
            tally.digests.append(NO_DIGEST)
            quarantine(task.out, key, sample.name, content)
            continue
        tally.digests.append(digest_of(content))
        tally.bytes_in += len(content)
        tally.bytes_out += len(verdict.content)
        labelled = sample.label != UNLABELLED
        members = [(verdict.suffix, verdict.content), *([("cls", b"%d" % sample.label)] if labelled else [])]
        file.add(key, [*members, ("json", _describe(sample))], num_indexed=len(members))


def _describe(sample: SampleRef) -> bytes:
    """The sample's json. Names that are no valid UTF-8 keep their bytes as escapes."""
    return f'{{"name": {_JSON.encode(sample.name)}}}'.encode("utf-8", "backslashreplace")
