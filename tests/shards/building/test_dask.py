"""A real scheduler and two worker processes on loopback: the same bytes, also when one worker is killed mid-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards.building.build import build
from shards.building.crew import dask_crew
from shards.building.job import BuildOptions, plan_build
from shards.building.plan import Cut
from shards.errors import UserError
from shards.remote.store import UrlStore, store_at
from shards.sources.folders import ClassFolders
from shards.tars.manifest import Manifest

pytest.importorskip("distributed", reason="the extra [dask] is not installed")
Files = Callable[[Path], dict[str, bytes]]
NUM_CLASSES, PER_CLASS = 4, 100
SIX = BuildOptions(cut=Cut(num_shards=6))
ROOT = Path(__file__).parents[3]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """(address, worker processes)."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(*args: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *args, "--scheduler-file", str(file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, cwd=tmp_path, **quiet)  # type: ignore[call-overload]

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    workers = [start("worker", "--no-nanny", "--nthreads", "1", "--no-dashboard") for _ in range(2)]
    try:
        yield wait_for_address(file), workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def wait_for_address(file: Path) -> str:
    import json

    from distributed import Client

    deadline = time.monotonic() + 120
    while not file.is_file() or not file.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    address = str(json.loads(file.read_text())["address"])
    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=120)
    return address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_workers_one_killed_mid_way_write_the_same_bytes(
    tmp_path: Path,
    make_tree: Callable[..., Path],
    run_build: Callable[..., tuple[Manifest, bool]],
    files_of: Files,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    tree = make_tree(tmp_path / "tree", {f"c{number}": PER_CLASS for number in range(NUM_CLASSES)})
    run_build(ClassFolders(root=tree), tmp_path / "inline", shard_mib=0.02)
    address, workers = cluster
    out = tmp_path / "dask"

    def kill_when_some_shards_are_there() -> None:
        while len(list(out.glob("*.tar"))) < 3:
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_when_some_shards_are_there)
    killer.start()
    job = plan_build(ClassFolders(root=tree), BuildOptions(cut=Cut(shard_mib=0.02)))
    with dask_crew(address) as crew:
        build(job, store_at(out), crew)
    killer.join(timeout=10)
    assert workers[0].wait(timeout=10) == -signal.SIGKILL
    assert len(list(out.glob("*.tar"))) > 10
    assert files_of(out) == files_of(tmp_path / "inline")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_send_their_shards_to_a_url(
    tmp_path: Path,
    tree: Path,
    run_build: Callable[..., tuple[Manifest, bool]],
    files_of: Files,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    run_build(ClassFolders(root=tree), tmp_path / "inline", cut=Cut(num_shards=6))
    target, job = UrlStore(url=f"file://{tmp_path}/url"), plan_build(ClassFolders(root=tree), SIX)
    with dask_crew(cluster[0]) as crew:
        _, was_written = build(job, target, crew, scratch=tmp_path / "scratch")
    assert was_written
    assert files_of(tmp_path / "url") == files_of(tmp_path / "inline")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_address_without_scheduler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.building.crew.CONNECT_SECONDS", 1)
    said = r"--dask tcp://127.0.0.1:9: no Dask scheduler answers"
    with pytest.raises(UserError, match=said), dask_crew("tcp://127.0.0.1:9"):
        pass
