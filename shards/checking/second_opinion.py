"""Asking the decoder that training will use, which is another package's, in a process of its own.

The process is a command that is told pictures on its standard input and answers with a line for each. It may be absent
or crash on a picture; both are answers.
"""

from __future__ import annotations

import atexit
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO

COMMAND = (sys.executable, "-m", "pipelines", "decode-check")
OK = "ok"
_LENGTH = struct.Struct("<I")


def read_picture(stream: IO[bytes]) -> bytes | None:
    """The next picture that was asked about, or None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return stream.read(*_LENGTH.unpack(head))


@dataclass(kw_only=True)
class SecondOpinion:
    """The process, started for the first picture and again after a crash.

    Attributes:
        command: what is run.
        name: of the decoder, as it says itself; None before the first picture, and where it cannot be started.
    """

    command: tuple[str, ...] = COMMAND
    name: str | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _is_absent: bool = field(default=False, repr=False)

    def refusal(self, content: bytes) -> str | None:
        """Why the decoder refuses a picture; None when it does not, or is absent."""
        process = self._started()
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_LENGTH.pack(len(content)) + content)
            process.stdin.flush()
            answer = process.stdout.readline().decode("utf-8", "replace").rstrip("\n")
        except BrokenPipeError:
            answer = ""
        if not answer:
            return f"crashes the decoder, with code {self.close()}"
        return None if answer == OK else answer

    def close(self) -> int:
        """End the process, if there is one; returns its exit code. Another question starts another."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(BrokenPipeError), process:  # closes its streams, at which it ends, and waits for it
            pass
        return process.returncode

    def _started(self) -> subprocess.Popen[bytes] | None:
        if self._process is None and not self._is_absent:
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=nowhere)
            assert self._process.stdout is not None
            self.name = self._process.stdout.readline().decode("utf-8", "replace").strip() or None
            if self.name is None:
                self._is_absent = True
                self.close()
        return self._process


@lru_cache(maxsize=1)
def second_opinion() -> SecondOpinion:
    """That of this process, which it does not outlive."""
    opinion = SecondOpinion()
    atexit.register(opinion.close)
    return opinion
