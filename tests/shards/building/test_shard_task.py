"""One shard's task: samples are handled in groups, which nobody can tell from the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shards.building import shard_task
from shards.building.events import read_errors
from shards.building.judge import Judge
from shards.building.policy import parse_policy
from shards.remote.store import store_at
from shards.sources.folders import FlatFolder
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]
Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def folder(tmp_path: Path, make_picture: Callable[..., bytes]) -> FlatFolder:
    """Forty pictures; every seventh is cut, every ninth is ink."""
    (tmp_path / "in").mkdir()
    for number in range(40):
        content = make_picture(number, mode="CMYK" if number % 9 == 0 else "RGB")
        (tmp_path / "in" / f"{number:02d}.jpg").write_bytes(content[:-50] if number % 7 == 0 else content)
    return FlatFolder(root=tmp_path / "in")


@pytest.mark.parametrize(("group", "group_bytes"), [(1, 1), (3, 10**6), (1000, 10**6), (1000, 3000)])
def test_the_size_of_groups_changes_no_byte(
    tmp_path: Path,
    folder: FlatFolder,
    run_build: Run,
    files_of: Files,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    group_bytes: int,
) -> None:
    run_build(folder, tmp_path / "usual")
    monkeypatch.setattr(shard_task, "GROUP", group)
    monkeypatch.setattr(shard_task, "GROUP_BYTES", group_bytes)
    run_build(folder, tmp_path / "other")
    assert files_of(tmp_path / "usual") == files_of(tmp_path / "other")
    assert len(read_errors(store_at(tmp_path / "usual"))) == 11


class Gone(FlatFolder):
    """A folder of which a file disappears between listing and reading."""

    def reader(self) -> object:  # type: ignore[override]
        (self.root / "05.jpg").unlink(missing_ok=True)
        return super().reader()


def test_a_file_that_is_gone_is_reported_and_its_neighbours_are_written(
    tmp_path: Path, folder: FlatFolder, run_build: Run
) -> None:
    judge = Judge(policy=parse_policy(["unreadable=quarantine"]))
    manifest, _ = run_build(Gone(root=folder.root), tmp_path / "out", judge=judge)
    assert manifest.num_samples + manifest.num_dropped == 40
    (event,) = (event for event in read_errors(store_at(tmp_path / "out")) if event["trouble"] == "unreadable")
    assert (event["name"], event["action"]) == ("05.jpg", "quarantined")


def test_a_picture_that_pillow_cannot_mend_is_left_out(
    tmp_path: Path, make_picture: Callable[..., bytes], run_build: Run
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.bmp").write_bytes(make_picture(0, kind="BMP")[:-400])
    (tmp_path / "in" / "b.jpg").write_bytes(make_picture(1))
    run_build(FlatFolder(root=tmp_path / "in"), tmp_path / "out", judge=Judge(decode=False))
    events = [(event["trouble"], event["action"]) for event in read_errors(store_at(tmp_path / "out"))]
    assert events == [("corrupt", "quarantined"), ("rare-format", "fixed")]
