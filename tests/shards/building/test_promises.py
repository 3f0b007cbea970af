"""What a build promises wherever it writes, in a folder as at a URL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from shards.building.build import build
from shards.building.crew import Crew
from shards.building.delivery import scratch_folder
from shards.building.job import BuildOptions, Job, plan_build
from shards.building.plan import Cut
from shards.building.record import ShardRecord
from shards.building.shard_task import ShardTask
from shards.errors import ShardError
from shards.remote.store import Store, store_at
from shards.sources.folders import ClassFolders
from shards.tars.manifest import MANIFEST_NAME


@pytest.fixture(params=["folder", "url"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    yield store_at(tmp_path / "out" if request.param == "folder" else "memory://promises/set")
    memory = fsspec.filesystem("memory")
    if memory.exists("/promises"):
        memory.rm("/promises", recursive=True)


@pytest.fixture
def job(tree: Path) -> Job:
    return plan_build(ClassFolders(root=tree), BuildOptions(cut=Cut(num_shards=5)))


def failing(task: ShardTask) -> ShardRecord:
    raise ShardError("the disk is on fire", where=task.stem)


def test_a_set_has_no_manifest_while_its_shards_change(
    out: Store, job: Job, inline_crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = build(job, out, inline_crew, scratch=tmp_path)
    out.remove("shard-000003.tar")
    with monkeypatch.context() as patched:
        patched.setattr("shards.building.delivery.write_shard", failing)
        with pytest.raises(ShardError, match="shard-000003: the disk is on fire"):
            build(job, out, dataclasses.replace(inline_crew, work=failing), scratch=tmp_path)
    assert out.look(MANIFEST_NAME) is None
    assert build(job, out, inline_crew, scratch=tmp_path) == (first, True)
    assert build(job, out, inline_crew, scratch=tmp_path) == (first, False)


def test_an_index_with_other_bytes_is_written_again(tmp_path: Path, job: Job, inline_crew: Crew) -> None:
    out = store_at(tmp_path / "out")
    build(job, out, inline_crew)
    whole = out.read("shard-000002.idx")
    out.write("shard-000002.idx", whole.replace(b"jpg", b"png"))
    assert build(job, out, inline_crew)[1] is True
    assert out.read("shard-000002.idx") == whole


def test_what_a_killed_build_left_in_scratch_space_goes_first(
    tmp_path: Path, job: Job, inline_crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen = store_at(f"file://{tmp_path}/url"), list[list[str]]()
    scratch = scratch_folder(tmp_path / "scratch", out.place())
    (scratch / ".build").mkdir(parents=True)
    (scratch / "shard-000004.tar").write_bytes(b"half")

    def look(folder: Path, needed: int) -> None:
        seen.append([path.name for path in folder.rglob("*") if path.is_file()])

    monkeypatch.setattr("shards.building.build.check_space", look)
    build(job, out, inline_crew, scratch=tmp_path / "scratch")
    assert seen == [["lock"]]
