"""Header bytes against tarfile, which reads and writes ustar on its own."""

from __future__ import annotations

import io
import tarfile

import pytest

from shards.tars import ustar


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 8**11 - 1])
@pytest.mark.parametrize("name", ["0.jpg", "000000123.jpg", "x" * 100])
def test_header_is_read_by_tarfile_with_fixed_owner_mode_and_time(name: str, size: int) -> None:
    info = tarfile.TarInfo.frombuf(ustar.header(name.encode(), size), "ascii", "strict")
    assert (info.name, info.size) == (name, size)
    assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o444)
    assert info.isreg()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_whole_member_equals_what_tarfile_writes_up_to_the_record_padding(size: int) -> None:
    content = bytes(range(256)) * 3
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("000000007.jpg")
        info.size, info.mode, info.uid, info.gid = size, 0o444, 0, 0
        tar.addfile(info, io.BytesIO(content))
    ours = ustar.header(b"000000007.jpg", size) + content[:size] + ustar.padding(size)
    assert len(ours) == ustar.member_bytes(size)
    assert buffer.getvalue()[: len(ours)] == ours
