"""Duplicates by digest: a collision costs no picture, and what cannot be read is nobody's duplicate."""

from __future__ import annotations

from pathlib import Path

import pytest

from shards.building.duplicates import without_duplicates
from shards.building.policy import Action
from shards.building.record import NO_DIGEST, digest_of
from shards.errors import ShardError
from shards.sources.folders import FlatFolder


@pytest.fixture
def source(tmp_path: Path) -> FlatFolder:
    """a and c are equal, b has their size but other bytes."""
    for name, content in {"a": b"first", "b": b"other", "c": b"first"}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    return FlatFolder(root=tmp_path)


def kept(source: FlatFolder) -> list[str]:
    listing, events = without_duplicates(source, source.scan()[0], Action.QUARANTINE)
    assert [event["detail"] for event in events] == ["same bytes as a.jpg"]
    return [sample.name for sample in listing]


def test_the_first_of_equal_pictures_stays(source: FlatFolder) -> None:
    assert kept(source) == ["a.jpg", "b.jpg"]


def test_equal_digests_of_other_bytes_are_told_apart(source: FlatFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.building.duplicates.digest_of", lambda content: digest_of(b""))
    assert kept(source) == ["a.jpg", "b.jpg"]


def test_what_cannot_be_read_stays_for_the_task_that_reports_it(source: FlatFolder) -> None:
    listing, _ = source.scan()
    (source.root / "b.jpg").unlink()
    assert len(without_duplicates(source, listing, Action.QUARANTINE)[0]) == 2


def test_the_policy_to_stop_names_both(source: FlatFolder) -> None:
    with pytest.raises(ShardError, match=r"c\.jpg: duplicate.*found a\.jpg"):
        without_duplicates(source, source.scan()[0], Action.STOP)


def test_digests_are_of_one_width_and_never_the_one_that_says_none() -> None:
    digests = {digest_of(bytes(length)) for length in range(200)}
    assert len(digests) == 200
    assert {len(digest) for digest in digests} == {len(NO_DIGEST)}
    assert NO_DIGEST not in digests
