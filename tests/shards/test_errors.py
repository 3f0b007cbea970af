"""A command that leaves at once: its exit code, its last words, its threads and what atexit holds, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = """
import sys
from shards.errors import UserError, run_and_leave

class Late:
    def __del__(self):
        print("taken apart", flush=True)

def main():
    import atexit, threading, time
    global late
    late = Late()
    late.itself = late
    atexit.register(print, "registered")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("said", end=" ")
    {}

run_and_leave(main)
"""


def leave(end: str) -> subprocess.CompletedProcess[str]:
    code = COMMAND.format(end)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("return None", 0, ""),
        ("return 75", 75, ""),
        ("raise UserError('no disk', fix='make room')", 2, "error: no disk; make room\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
    ],
)
def test_threads_and_registered_work_are_done_and_nothing_is_taken_apart(end: str, code: int, error: str) -> None:
    done = leave(end)
    assert (done.returncode, done.stdout, done.stderr) == (code, "said thread\nregistered\n", error)


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("raise RuntimeError('ours')", 1)])
def test_what_the_command_did_not_answer_for_ends_as_python_ends_it(end: str, code: int) -> None:
    done = leave(end)
    assert done.returncode == code
    assert done.stdout == "said thread\nregistered\ntaken apart\n"
    assert ("RuntimeError: ours" in done.stderr) == (code == 1)


def test_nobody_has_to_read_the_last_words() -> None:
    command = [sys.executable, "-c", COMMAND.format("return 0")]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
