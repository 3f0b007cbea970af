"""A file cut short under its memory map is named in one line, whichever thread reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import training

CODE = """
import mmap, os, sys, threading
from swav_dali.ranks.bus_error import bus_errors_named
file = open(sys.argv[1], "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[1], 0)
with bus_errors_named():
    {read}
print("survived")
"""
READS = {
    "the main thread": "mapped[5000]",
    "a thread": "thread = threading.Thread(target=lambda: mapped[5000]); thread.start(); thread.join()",
    "a thread without the interpreter's lock": (
        "import zlib; thread = threading.Thread(target=zlib.crc32, args=(mapped,)); thread.start(); thread.join()"
    ),
}


@pytest.mark.parametrize("read", READS)
def test_the_file_is_named(tmp_path: Path, read: str) -> None:
    path = tmp_path / "shard-000007.tar"
    path.write_bytes(b"x" * 100_000)
    command = [sys.executable, "-c", CODE.format(read=READS[read]), str(path)]
    done = subprocess.run(command, cwd=training.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}: it was cut short")
    assert len(done.stderr.splitlines()) == 1
