"""Workers of this machine: Ctrl-C at any moment is the command's affair alone, and ends it in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.host.local_pool import local_pool, start_method

MOMENTS = [0.04 * step for step in range(10)]  # after the first line of output: spawning, importing, writing
ROOT = Path(__file__).parents[3]


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_workers_have_ctrl_c_blocked_and_the_command_has_not() -> None:
    with local_pool(2) as executor:
        assert signal.SIGINT in executor.submit(blocked).result()
    assert signal.SIGINT not in blocked()


def test_a_build_has_one_thread_when_it_starts_its_workers_and_so_forks_them() -> None:
    script = "import shards.commands.build; from shards.host.local_pool import start_method; print(start_method())"
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", script], env=environment, text=True) == "fork\n"


def test_beside_another_thread_workers_are_spawned() -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    try:
        assert start_method() == "spawn"
    finally:
        leave.set()
        thread.join()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_end_with_the_block_that_holds_them(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.host.local_pool.start_method", lambda: method)
    with local_pool(2) as executor:
        workers = {executor.submit(os.getpid).result() for _ in range(8)}
        assert os.getpid() not in workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_says_so_in_one_line_and_leaves_no_process(
    tmp_path: Path, make_picture: Callable[..., bytes]
) -> None:
    (tmp_path / "tree" / "class").mkdir(parents=True)
    for number in range(4000):
        (tmp_path / "tree" / "class" / f"{number}.jpg").write_bytes(make_picture(number, size=(120, 90)))
    codes = [interrupt(tmp_path, f"out{number}", moment) for number, moment in enumerate(MOMENTS)]
    assert set(codes) <= {0, 130, -signal.SIGINT}  # the last when Python was about to exit
    assert codes.count(130) > len(MOMENTS) // 2


def interrupt(folder: Path, out: str, moment: float) -> int:
    """Build the tree in a process group of its own and interrupt that so many seconds after the first line."""
    command = [sys.executable, "-m", "shards", "build", "tree", out, "--workers", "2"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("source: ")
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGINT)
        said, code = process.stderr.read(), process.wait(timeout=30)
    assert "Traceback" not in said, said
    assert (code == 130) == (said.splitlines()[-1:] == ["interrupted"]), said
    assert is_gone(process.pid)
    return code


def is_gone(group: int) -> bool:
    """Whether no process of the group is left; waits for Python's resource tracker to notice that it is alone."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
