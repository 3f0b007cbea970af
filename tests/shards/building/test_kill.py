"""kill -9 at random moments: nothing half-written is visible, and resuming gives an undisturbed run's bytes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.checking.check_tar import TarCheck, check_tar
from shards.tars.shardset import load_shard_set

Files = Callable[[Path], dict[str, bytes]]
NUM_KILLS = 20


def start(tree: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "shards", "build", str(tree), str(out), "--shard-mib", "0.5", "--workers", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3]
    )


def assert_nothing_half_written(out: Path) -> None:
    for tar in out.glob("*.tar"):
        report = check_tar(TarCheck(tar=tar, idx=tar.with_suffix(".idx"), full=True))
        assert report.problems == []
    if (out / "manifest.json").exists():
        load_shard_set(out)


@pytest.mark.slow
def test_twenty_kills_and_resumes_give_the_same_bytes(
    tmp_path: Path, make_picture: Callable[..., bytes], files_of: Files
) -> None:
    for number in range(400):
        folder = tmp_path / "tree" / f"class_{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(make_picture(number, size=(200, 160)))
    (tmp_path / "tree" / "class_0" / "cut.jpg").write_bytes(make_picture(1, size=(200, 160))[:-100])
    assert start(tmp_path / "tree", tmp_path / "whole").wait(timeout=300) == 3
    out, dice, kills, finished = tmp_path / "out", random.Random(5), 0, 0
    while kills < NUM_KILLS:
        process = start(tmp_path / "tree", out)
        try:
            process.wait(timeout=dice.uniform(0.1, 0.8))
            finished += 1
            for path in [out / "manifest.json", *dice.sample(sorted(out.glob("*.tar")), 6)]:
                path.unlink(missing_ok=True)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        assert_nothing_half_written(out)
    assert start(tmp_path / "tree", out).wait(timeout=300) == 3
    time.sleep(1)
    print(f"{kills} kills, {finished} runs finished before theirs")
    assert files_of(out) == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_worker_is_named_and_the_build_goes_on_when_run_again(
    tmp_path: Path, make_picture: Callable[..., bytes]
) -> None:
    for number in range(300):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.jpg").write_bytes(make_picture(number, size=(300, 300)))
    command = [sys.executable, "-m", "shards", "build", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--shard-mib", "4"], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    deadline = time.monotonic() + 60
    while not (temporaries := list((tmp_path / "out" / ".build").glob("*.tar.tmp-*"))):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    worker = int(temporaries[0].name.rpartition("-")[2])
    subprocess.run(["kill", "-9", str(worker)], check=True)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker process died" in stderr
    assert "while writing shard-0000" in stderr
    assert "Traceback" not in stderr
    again = subprocess.run([*command, "--shard-mib", "4"], cwd=Path(__file__).parents[3], check=False, timeout=120)
    assert again.returncode == 0
