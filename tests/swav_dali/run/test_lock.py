"""One job per run folder: refused with the owner's name, free however the owner ended, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import training

from swav_dali.errors import CheckpointError
from swav_dali.run import lock
from swav_dali.run.lock import hold_run

HOLD = "import sys, time; from pathlib import Path; from swav_dali.run.lock import hold_run\n{}"
FOR_EVER = "with hold_run(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD.format(FOR_EVER), str(tmp_path / "runs" / "a")]
    process = subprocess.Popen(command, cwd=training.ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_job_is_told_who_holds_the_folder(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    before = sorted(folder.iterdir())
    words = rf"runs/a: another job is training here, found process {holder.pid} on .*, since 20.*; .*--name"
    with pytest.raises(CheckpointError, match=words), hold_run(folder):
        pass
    assert sorted(folder.iterdir()) == before


def test_a_killed_job_leaves_the_folder_free(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with hold_run(tmp_path / "runs" / "a"):
        assert time.monotonic() - began < 2


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold_run(tmp_path / "runs" / "a"):
        raise KeyError("a mistake in another option")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    with hold_run(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "config.json").touch()
    assert sorted(path.name for path in (tmp_path / "runs" / "a").iterdir()) == [".lock", "config.json"]


def foreign(folder: Path, beat: int) -> None:
    holder = {"machine": "another", "host": "node7", "pid": 12, "since": "2026-01-01T00:00:00+00:00", "beat": beat}
    (folder / ".lock").write_text(json.dumps(holder).ljust(512))


def test_another_machine_that_shows_life_is_refused_where_locks_end_at_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path, 1)
    monkeypatch.setattr(lock.time, "sleep", lambda _: foreign(tmp_path, 2))
    with pytest.raises(CheckpointError, match="process 12 on node7"), hold_run(tmp_path, beat_seconds=0.2):
        pass


def test_another_machine_that_shows_none_has_died(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign(tmp_path, 1)
    with hold_run(tmp_path, beat_seconds=0.05):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert "node7" in capsys.readouterr().err


def test_without_locks_the_beat_alone_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    second = hold_run(tmp_path, beat_seconds=0.5)
    with hold_run(tmp_path, beat_seconds=0.05), pytest.raises(CheckpointError, match=f"process {os.getpid()}"), second:
        pass
    with hold_run(tmp_path, beat_seconds=0.05):
        pass


def test_a_spoiled_lock_file_is_no_owner(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(b"\xff{")
    with hold_run(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_left_to_those_who_write_in_it(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with hold_run(tmp_path / "runs" / "a"):
        pass
