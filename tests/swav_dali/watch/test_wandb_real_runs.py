"""Real runs with wandb: killed, resumed and replayed, on a full disk, and with a server that fails in mid-run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import training
from wandb_server import wandb_server

from swav_dali.watch.record import grouped_name

pytestmark = pytest.mark.slow
PATIENCE = 600  # seconds for what takes ten on a machine with nothing else to do


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 48 and 12 drawn pictures, twelve steps an epoch."""
    root = tmp_path_factory.mktemp("data")
    training.build_shards(training.draw_splits(root / "pictures", train=48, val=12), root / "shards")
    return root / "shards"


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without wandb."""
    runs = tmp_path_factory.mktemp("plain")
    done = training.run(training.command(data, runs, "run"), timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return runs / "run"


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    everything = {**training.environment(), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        arguments, cwd=training.ROOT, env=everything, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def last_step(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return max((json.loads(line)["step"] for line in whole), default=-1)


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    until = time.monotonic() + PATIENCE
    while last_step(folder) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (newest,) = sorted((folder / "checkpoints").glob("step-*/shared.pt"))[-1:]
    model: dict[str, torch.Tensor] = torch.load(newest, weights_only=True)["model"]
    return model


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def replayed(folder: Path) -> list[dict[str, Any]]:
    """What wandb's own parser finds after `python -m swav_dali wandb`."""
    done = training.run([sys.executable, "-m", "swav_dali", "wandb", str(folder)], timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    inspect = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    rows = map(json.loads, training.run(inspect, timeout=PATIENCE).stdout.splitlines())
    return [row["history"]["item"] for row in rows if row["type"] == "history"]


def test_a_run_killed_and_resumed_three_times_is_one_wandb_run(data: Path, plain: Path, tmp_path: Path) -> None:
    command = training.command(data, tmp_path, "run", log__wandb="offline", checkpoint__every_steps="4")
    for step in (6, 11, 17):
        process = start(command)
        wait_for_step(process, tmp_path / "run", step)
        for pid in (process.pid, *training.descendants(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert training.run(command, timeout=PATIENCE).returncode == 0
    assert_same_weights(tmp_path / "run", plain)
    expected: dict[int, dict[str, float]] = {}
    for record in training.records(tmp_path / "run"):
        expected.setdefault(record["step"], {}).update({grouped_name(key): value for key, value in record.items()})
    for _ in range(2):
        rows = replayed(tmp_path / "run")
        assert [row["_step"] for row in rows] == list(range(25)) == sorted(expected)
        found = {row["_step"]: {key: value for key, value in row.items() if "/" in key} for row in rows}
        assert found == expected


@pytest.mark.parametrize("trouble", ["silent", "refusing", "killed"])
def test_what_becomes_of_wandb_in_mid_run_changes_no_bit(data: Path, plain: Path, tmp_path: Path, trouble: str) -> None:
    with wandb_server() as server:
        command = training.command(data, tmp_path, "run", log__wandb="online")
        process = start(command, **server.environment())
        wait_for_step(process, tmp_path / "run", 3)
        if trouble == "killed":
            service = [pid for pid in training.descendants(process.pid) if b"wandb-core" in command_line(pid)]
            assert service
            for pid in service:
                os.kill(pid, signal.SIGKILL)
        else:
            server.be_silent() if trouble == "silent" else server.refuse()
        said, _ = process.communicate(timeout=PATIENCE)
        ended = time.time()
    assert process.returncode == 0, said
    assert_same_weights(tmp_path / "run", plain)
    assert_ended_soon(tmp_path / "run", ended, trouble)


def assert_ended_soon(folder: Path, ended: float, trouble: str) -> None:
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    seconds = ended - max(event["time"] for event in events if event["kind"] == "end")
    print(f"{trouble}: ended {seconds:.1f} s after its last event")
    assert seconds < 30  # 10 on a machine with nothing else to do


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended since
        return b""


class SmallDisk:
    """A file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        for block in (1 << 20, 1):
            try:
                with (self.folder / "fill").open("ab", buffering=0) as file:
                    while file.write(bytes(block)) == block:
                        pass
            except OSError:
                continue

    def make_room(self) -> None:
        (self.folder / "fill").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_under_wandb_costs_wandb_only(
    data: Path, plain: Path, small_disk: SmallDisk, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "wandb").symlink_to(small_disk.folder)
    process = start(training.command(data, tmp_path, "run", log__wandb="offline"))
    wait_for_step(process, run, 3)
    small_disk.fill()
    said, _ = process.communicate(timeout=PATIENCE)
    ended = time.time()
    assert process.returncode == 0, said
    assert_same_weights(run, plain)
    assert last_step(run) == 24
    assert_ended_soon(run, ended, "wandb's disk full")


def read_until(process: subprocess.Popen[str], words: str) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def test_room_made_on_a_full_disk_before_the_next_checkpoint_leaves_no_trace(
    data: Path, plain: Path, small_disk: SmallDisk
) -> None:
    process = start(
        training.command(data, small_disk.folder, "run", log__wandb="offline", checkpoint__every_epochs="2")
    )
    run = small_disk.folder / "run"
    wait_for_step(process, run, 3)
    small_disk.fill()
    read_until(process, "cannot be written, its lines are kept")
    small_disk.make_room()
    said, _ = process.communicate(timeout=PATIENCE)
    ended = time.time()
    assert process.returncode == 0, said
    assert "is written again after" in said
    assert_same_weights(run, plain)
    assert [record["step"] for record in training.records(run) if "loss" in record] == list(range(1, 25))
    assert_ended_soon(run, ended, "full for a while")


def test_a_disk_that_stays_full_ends_the_run_at_its_next_checkpoint_and_costs_no_bit(
    data: Path, plain: Path, small_disk: SmallDisk
) -> None:
    command = training.command(data, small_disk.folder, "run", log__wandb="offline", checkpoint__every_steps="4")
    run = small_disk.folder / "run"
    process = start(command)
    wait_for_step(process, run, 5)
    small_disk.fill()
    said = read_until(process, "error: ")
    told = time.time()
    process.communicate(timeout=PATIENCE)
    seconds = time.time() - told
    print(f"disk full: ended {seconds:.1f} s after its error")
    assert seconds < 30  # 10 on a machine with nothing else to do
    assert process.returncode == 2
    assert "the checkpoint cannot be written" in said
    assert "make room and start again" in said
    small_disk.make_room()
    again = training.run(command, timeout=PATIENCE)
    assert again.returncode == 0, again.stderr
    assert_same_weights(run, plain)
    assert [record["step"] for record in training.records(run) if "loss" in record] == list(range(1, 25))
