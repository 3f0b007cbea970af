"""Reading a file whose size is known, unknown, or no longer what the listing says."""

from __future__ import annotations

from pathlib import Path

import pytest

from shards.sources.folders import CHUNK, FileReader
from shards.sources.listing import SampleRef


@pytest.mark.parametrize("listed", [0, 1, 99, 100, 101, 10_000, -57_000])
def test_the_whole_file_is_read_whatever_size_was_listed(tmp_path: Path, listed: int) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(range(100)))
    sample = SampleRef(name="a.jpg", size=listed, label=0, container=0, offset=0)
    assert FileReader(root=tmp_path).read(sample) == bytes(range(100))


@pytest.mark.parametrize("grown", [1, CHUNK, 2 * CHUNK + 5])
def test_a_file_that_has_grown_is_read_to_its_end(tmp_path: Path, grown: int) -> None:
    content = b"x" * 10 + b"y" * grown
    (tmp_path / "a.jpg").write_bytes(content)
    sample = SampleRef(name="a.jpg", size=10, label=0, container=0, offset=0)
    assert FileReader(root=tmp_path).read(sample) == content


def test_a_missing_file_and_a_folder_are_operating_system_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    for name in ("missing.jpg", "folder.jpg"):
        with pytest.raises(OSError, match=name if name == "missing.jpg" else "directory"):
            FileReader(root=tmp_path).read(SampleRef(name=name, size=5, label=0, container=0, offset=0))
