"""The unit of work: one whole shard, from the source's bytes to files under their final names.

A task is picklable and complete in itself, so any executor may run it anywhere that sees the source and the output
folder. Running it twice does no harm: the same bytes replace themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shards.building.events import PictureEvent, quarantine
from shards.building.judge import Judge, Verdict
from shards.building.plan import key_of
from shards.building.record import BUILD_FOLDER, NO_DIGEST, ShardRecord, digest_of, record_name
from shards.host.atomic import sync_folder, temporary_beside, write_whole
from shards.sources.base import Reader
from shards.sources.listing import UNLABELLED, Listing, SampleRef
from shards.tars.index import format_index
from shards.tars.manifest import ShardEntry, sha256_of
from shards.tars.tar_writer import Sample, TarWriter, verify_against_index

GROUP, GROUP_BYTES = 32, 768 << 10  # one of them is enough; writes of 2 MiB would cost the kernel three times as much
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

    events: list[PictureEvent] = field(default_factory=list)
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
        with TarWriter(tar) as file:
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
    write_whole(task.out / record_name(task.stem), record.to_bytes())
    return record


def _publish(task: ShardTask, tar: Path, file: TarWriter, tar_sha256: str) -> ShardEntry:
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


def _add_samples(file: TarWriter, task: ShardTask, tally: Tally) -> None:
    """Read, judge and write in groups.

    The bytes of one picture are enough to push a step's code out of the processor's cache: taking each step for a
    group at a time saves a seventh of the work around the pictures.
    """
    for group in _groups(enumerate(task.samples, start=task.first)):
        contents = [_read(task.reader, sample) for _, sample in group]
        judged = [_judge(task.judge, sample, content) for (_, sample), content in zip(group, contents, strict=True)]
        settled = (_settle(task, tally, *one, *found) for one, found in zip(group, judged, strict=True))
        file.add([sample for sample in settled if sample is not None])


def _groups(samples: Iterable[tuple[int, SampleRef]]) -> Iterator[list[tuple[int, SampleRef]]]:
    group, num_bytes = list[tuple[int, SampleRef]](), 0
    for number, sample in samples:
        group.append((number, sample))
        num_bytes += abs(sample.size)
        if len(group) == GROUP or num_bytes >= GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def _read(reader: Reader, sample: SampleRef) -> bytes | OSError:
    try:
        return reader.read(sample)
    except OSError as error:
        return error


def _judge(judge: Judge, sample: SampleRef, content: bytes | OSError) -> tuple[bytes, Verdict]:
    """The bytes and what becomes of them; no bytes where they cannot be read, by us or by Pillow when it mends."""
    if isinstance(content, bytes):
        try:
            return content, judge.judge(sample.name, content)
        except OSError as error:
            content = error
    return b"", judge.judge_unreadable(sample.name, content)


def _settle(
    task: ShardTask, tally: Tally, number: int, sample: SampleRef, content: bytes, verdict: Verdict
) -> Sample | None:
    """Note what was found; returns what goes into the tar, or None for a sample that is left out."""
    key = key_of(number)
    tally.events += [{"key": key, **event} for event in verdict.events]
    if verdict.suffix is None:
        tally.digests.append(NO_DIGEST)
        quarantine(task.out, key, sample.name, content)
        return None
    tally.digests.append(digest_of(content))
    tally.bytes_in += len(content)
    tally.bytes_out += len(verdict.content)
    indexed = [(verdict.suffix, verdict.content)]
    if sample.label != UNLABELLED:
        indexed.append(("cls", b"%d" % sample.label))
    return Sample(key, indexed, [("json", _describe(sample))])


def _describe(sample: SampleRef) -> bytes:
    """The sample's json. Names that are no valid UTF-8 keep their bytes as escapes."""
    return f'{{"name": {_JSON.encode(sample.name)}}}'.encode("utf-8", "backslashreplace")
