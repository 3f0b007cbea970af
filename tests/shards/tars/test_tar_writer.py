"""A tar written in groups: tarfile reads it back, cut writes are made good, and damage is noticed before publishing."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.tars.tar_writer import WRITEBACK, Sample, TarWriter, verify_against_index

SAMPLES = [
    Sample(f"{number:09d}", [("jpg", bytes([number]) * size), ("cls", b"%d" % number)], [("json", b"{}")])
    for number, size in enumerate([1, 511, 512, 513, 70_000])
]


def write(path: Path, *groups: Sequence[Sample]) -> tuple[TarWriter, str]:
    with TarWriter(path) as file:
        for group in groups:
            file.add(group)
        return file, file.finish()


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


EXPECTED = {
    f"{sample.key}.{suffix}": content for sample in SAMPLES for suffix, content in (*sample.indexed, *sample.others)
}


def test_tarfile_reads_what_was_written_however_it_was_grouped(tmp_path: Path) -> None:
    file, sha256 = write(tmp_path / "a.tar", SAMPLES)
    assert members(tmp_path / "a.tar") == EXPECTED
    assert sha256 == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()
    assert file.num_bytes == (tmp_path / "a.tar").stat().st_size
    write(tmp_path / "b.tar", SAMPLES[:2], [], *([sample] for sample in SAMPLES[2:]))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_index_entries_point_at_the_members_they_name_and_leave_the_json_out(tmp_path: Path) -> None:
    file, _ = write(tmp_path / "a.tar", SAMPLES)
    content = (tmp_path / "a.tar").read_bytes()
    entries = [member for sample in file.samples for member in sample]
    assert [entry.name for entry in entries] == [name for name in EXPECTED if not name.endswith("json")]
    assert all(content[e.offset : e.offset + e.size] == EXPECTED[e.name] for e in entries)


@pytest.mark.parametrize("at_most", [1, 600, 4096])
def test_a_write_that_stops_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_most: int) -> None:
    write(tmp_path / "a.tar", SAMPLES[:4])
    real = os.write
    monkeypatch.setattr("os.writev", lambda descriptor, pieces: real(descriptor, b"".join(pieces)[:at_most]))
    monkeypatch.setattr("os.write", lambda descriptor, rest: real(descriptor, rest[:at_most]))
    write(tmp_path / "b.tar", SAMPLES[:4])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_long_tars_are_handed_to_the_disk_on_the_way_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = [Sample(f"{n:09d}", [("jpg", bytes(WRITEBACK // 2))], []) for n in range(5)]
    file, sha256 = write(tmp_path / "a.tar", *([sample] for sample in big))
    assert sha256 == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()
    verify_against_index(tmp_path / "a.tar", file.samples, num_bytes=file.num_bytes)


@pytest.mark.parametrize(("place", "words"), [(0, "another header"), (-1, "without its end"), (None, "another size")])
def test_damage_on_the_disk_is_noticed(tmp_path: Path, place: int | None, words: str) -> None:
    file, _ = write(tmp_path / "a.tar", SAMPLES)
    verify_against_index(tmp_path / "a.tar", file.samples, num_bytes=file.num_bytes)
    content = bytearray((tmp_path / "a.tar").read_bytes())
    if place is None:
        del content[-512:]
    else:
        content[place] ^= 1
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ShardError, match=words):
        verify_against_index(tmp_path / "a.tar", file.samples, num_bytes=file.num_bytes)
