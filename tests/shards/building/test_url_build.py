"""Builds at a URL: the files of a local build, nothing left here, and only what is missing sent when resumed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from shards.building.build import build
from shards.building.crew import Crew
from shards.building.delivery import scratch_folder
from shards.building.job import BuildOptions, Job, plan_build
from shards.building.plan import Cut
from shards.errors import ShardError
from shards.remote.copies import sums_of
from shards.remote.store import UrlStore, store_at
from shards.sources.folders import ClassFolders
from shards.tars.manifest import Manifest

Files = Callable[[Path], dict[str, bytes]]
SMALL = Cut(num_shards=5)


@pytest.fixture
def target() -> Iterator[UrlStore]:
    """An empty place in a store that lives in this process."""
    store = fsspec.filesystem("memory")
    yield UrlStore(url="memory://bucket/set")
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


@pytest.fixture
def flawed(tree: Path, make_picture: Callable[..., bytes]) -> Path:
    """The tree with one picture that is cut short."""
    (tree / "cat" / "cut.jpg").write_bytes(make_picture(1, size=(64, 64))[:-500])
    return tree


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is sent, in order."""
    names: list[str] = []
    for method in ("put", "write"):
        original = getattr(UrlStore, method)

        def spy(self: UrlStore, first: Any, second: Any, original: Callable[..., None] = original) -> None:
            names.append(second if original.__name__ == "put" else first)
            original(self, first, second)

        monkeypatch.setattr(UrlStore, method, spy)
    return names


def job_of(tree: Path, **options: object) -> Job:
    return plan_build(ClassFolders(root=tree), BuildOptions(**{"cut": SMALL, **options}))  # type: ignore[arg-type]


def files_at(target: UrlStore) -> dict[str, bytes]:
    return {name: target.read(name) for name in target.find()}


@pytest.fixture
def run(target: UrlStore, tmp_path: Path, inline_crew: Crew) -> Callable[[Job], tuple[Manifest, bool]]:
    return lambda job: build(job, target, inline_crew, scratch=tmp_path / "scratch")


Run = Callable[[Job], tuple[Manifest, bool]]


def test_a_url_gets_the_files_of_a_folder_and_nothing_stays_here(
    tmp_path: Path, flawed: Path, target: UrlStore, run: Run, inline_crew: Crew, files_of: Files
) -> None:
    local, _ = build(job_of(flawed), store_at(tmp_path / "out"), inline_crew)
    assert run(job_of(flawed)) == (local, True)
    assert files_at(target) == files_of(tmp_path / "out")
    assert {"errors.jsonl", "manifest.json", "shard-000004.idx"} < set(files_at(target))
    assert any(name.startswith("quarantine/") for name in files_at(target))
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_manifest_is_sent_last_and_a_record_after_its_shard(tree: Path, run: Run, sent: list[str]) -> None:
    run(job_of(tree))
    assert sent[-1] == "manifest.json"
    for number in range(5):
        stem = f"shard-{number:06d}"
        places = [sent.index(name) for name in (f"{stem}.tar", f"{stem}.idx", f".build/{stem}.json")]
        assert places == sorted(places)


def test_never_more_than_the_shard_in_hand_is_here(
    tmp_path: Path, tree: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    original = UrlStore.put

    def spy(self: UrlStore, local: Path, name: str) -> None:
        counts.append(len(list((tmp_path / "scratch").rglob("*.tar*"))))
        original(self, local, name)

    monkeypatch.setattr(UrlStore, "put", spy)
    run(job_of(tree))
    assert max(counts) == 1


def test_a_second_run_sends_nothing(tree: Path, run: Run, sent: list[str]) -> None:
    first, _ = run(job_of(tree))
    sent.clear()
    assert run(job_of(tree)) == (first, False)
    assert sent == []


@pytest.mark.parametrize("lost", ["shard-000002.tar", "shard-000002.idx", ".build/shard-000002.json"])
@pytest.mark.parametrize("is_finished", [True, False])
def test_only_what_is_missing_is_sent_again(
    flawed: Path, target: UrlStore, run: Run, sent: list[str], lost: str, is_finished: bool
) -> None:
    run(job_of(flawed))
    before = files_at(target)
    target.remove(lost)
    if not is_finished:
        target.remove("manifest.json")
    sent.clear()
    run(job_of(flawed))
    assert files_at(target) == before
    assert {name for name in sent if "shard-" in name and "shard-000002" not in name} == set()
    assert lost in sent


def test_a_tar_of_another_size_and_a_replaced_picture_are_noticed(
    tree: Path, target: UrlStore, run: Run, sent: list[str]
) -> None:
    run(job_of(tree))
    before = files_at(target)
    target.write("shard-000001.tar", b"short")
    sent.clear()
    run(job_of(tree))
    assert files_at(target) == before
    assert {name for name in sent if name.endswith(".tar")} == {"shard-000001.tar"}
    os.utime(tree / "cat" / "cat_3.JPEG", ns=(0, 12345))
    sent.clear()
    run(job_of(tree))
    assert len([name for name in sent if name.endswith(".json") and ".build" in name]) == 1


def test_another_set_is_replaced_only_when_asked_and_leaves_nothing(
    tmp_path: Path, flawed: Path, target: UrlStore, run: Run, inline_crew: Crew, files_of: Files
) -> None:
    run(job_of(flawed))
    (flawed / "cat" / "cut.jpg").unlink()
    other = job_of(flawed, cut=Cut(num_shards=2))
    with pytest.raises(ShardError, match=r"memory://bucket/set: made from another source or with other options"):
        run(other)
    allowed = job_of(flawed, cut=Cut(num_shards=2), overwrite=True)
    run(allowed)
    build(allowed, store_at(tmp_path / "out"), inline_crew)
    assert files_at(target) == files_of(tmp_path / "out")


def test_bytes_that_change_on_the_way_are_an_error_and_no_record_is_sent(
    tree: Path, target: UrlStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(self: UrlStore, local: Path, name: str) -> None:
        content = bytearray(local.read_bytes())
        content[len(content) // 2] ^= 1
        self.write(name, bytes(content))

    monkeypatch.setattr(UrlStore, "put", damage)
    with pytest.raises(ShardError, match=r"memory://bucket/set/shard-000000.tar: arrived with other bytes"):
        run(job_of(tree))
    assert [name for name in target.find() if ".build" in name or "manifest" in name] == []


def test_scratch_space_is_checked_for_the_shards_in_hand_only(
    tree: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = []
    monkeypatch.setattr("shards.building.build.check_space", lambda folder, num_bytes: needed.append(num_bytes))
    job = job_of(tree)
    run(job)
    run_in_order = job_of(tree, sequential=True, overwrite=True, seed=1)
    run(run_in_order)
    shard_bytes = job.plan.estimated_bytes // 5
    assert needed == [shard_bytes, 6 * shard_bytes]


@pytest.mark.parametrize("options", [[], ["--sequential"]])
def test_the_command_with_worker_processes(
    tmp_path: Path, flawed: Path, inline_crew: Crew, files_of: Files, options: list[str]
) -> None:
    job = job_of(flawed, judge=BuildOptions().judge)
    build(job, store_at(tmp_path / "folder"), inline_crew)
    command = [sys.executable, "-m", "shards", "build", str(flawed), f"file://{tmp_path}/url/", "--num-shards", "5"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[3])}
    (tmp_path / "tmp").mkdir()
    result = subprocess.run(
        [*command, "--workers", "1", *options],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 3, result.stderr
    assert f"written: file://{tmp_path}/url: 21 images" in result.stdout
    found = files_of(tmp_path / "url")
    assert {name: found[name] for name in files_of(tmp_path / "folder")} == files_of(tmp_path / "folder")
    assert set(found) - set(files_of(tmp_path / "folder")) == {"_info.json", "shardindex.json"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_dry_run_at_a_url_writes_nothing_here_or_there(tmp_path: Path, tree: Path) -> None:
    command = [sys.executable, "-m", "shards", "build", str(tree), f"file://{tmp_path}/url", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    before = sorted(tmp_path.iterdir())
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (result.returncode, sorted(tmp_path.iterdir())) == (0, before), result.stderr
    assert "plan: 21 images into 1 shards" in result.stdout


def test_scratch_is_in_tmpdir_or_here_and_one_per_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert scratch_folder(None, "s3://a/b").parent == tmp_path
    assert scratch_folder(Path("x"), "s3://a/b").parent == Path("x")
    assert scratch_folder(None, "s3://a/b") == scratch_folder(None, "s3://a/b") != scratch_folder(None, "s3://a/c")
    monkeypatch.delenv("TMPDIR")
    assert scratch_folder(None, "s3://a/b").parent == Path()


def test_a_folder_needs_no_scratch(tmp_path: Path, tree: Path) -> None:
    command = [sys.executable, "-m", "shards", "build", str(tree), str(tmp_path / "x"), "--scratch", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    said = f"--scratch: only a build at a URL needs scratch space, found OUT is {tmp_path / 'x'}"
    assert (result.returncode, result.stderr) == (2, f"error: {said}\n")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 35])
def test_etags_are_those_that_s3_documents(tmp_path: Path, size: int) -> None:
    content = bytes(range(size))
    (tmp_path / "x").write_bytes(content)
    sums = sums_of(tmp_path / "x", part_bytes=10)
    parts = b"".join(hashlib.md5(content[start : start + 10]).digest() for start in range(0, size, 10))
    assert sums.etags == {hashlib.md5(content).hexdigest(), f"{hashlib.md5(parts).hexdigest()}-{-(-size // 10)}"}
    assert (sums.size, sums.sha256) == (size, hashlib.sha256(content).hexdigest())
