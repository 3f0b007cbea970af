"""The errors a user can cause, and how a command reports them: one line, exit code 2, no traceback.

The two packages above derive their own classes from `UserError`; `assert` stays for our own bugs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TextIO


class UserError(ValueError):
    """Something the caller can mend, said in one line.

    Args:
        what: the fact that stops the work, without a full stop.
        where: the flag, file, shard or sample concerned.
        found: what was there.
        expected: what would have been accepted.
        fix: what to run or change next.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.fix = what, where, found, expected, fix
        super().__init__(_sentence(what, where, found, expected, fix))


class ShardError(UserError):
    """A source, shard, index or manifest that cannot be used as it is."""


def _sentence(what: str, where: object, found: object, expected: object, fix: str | None) -> str:
    parts = [what if where is None else f"{where}: {what}"]
    if found is not None:
        parts.append(f"found {found}")
    if expected is not None:
        parts.append(f"expected {expected}")
    line = ", ".join(parts)
    return line if fix is None else f"{line}; {fix}"


def run_command(main: Callable[[], int | None]) -> int:
    """Run a command's `main` and turn a user's mistake into one line on stderr.

    Returns the exit code: main's own (None is 0), 2 after a `UserError`, 130 after Ctrl-C, 141 when
    nobody reads what is said.
    """
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot spell is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would complain when it flushes at the end
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would end in a traceback from Python's own clean-up
        print("interrupted", file=sys.stderr)
        return 130


def run_and_leave(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and end the process with its exit code, without taking the interpreter apart.

    After torch, numba and DALI that takes two CPU-seconds of freeing what the system frees anyway. Threads are joined
    and what is registered with atexit runs as ever; called before anything else registers there, this comes last.
    """
    codes: list[int] = []
    atexit.register(_end_at_once, codes)
    codes.append(run_command(main))
    sys.exit(codes[0])


def _end_at_once(codes: list[int]) -> None:
    """Nothing where the command itself called sys.exit or failed with a traceback."""
    if codes:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                stream.flush()
        os._exit(codes[0])


def _nowhere() -> TextIO:
    """Where words go when the shell has closed the stream that they were for."""
    return Path(os.devnull).open("w")


def missing_package(package: str, needed_for: str, *, extra: str) -> UserError:
    """The error for an optional package that is not installed."""
    fix = f"pip install {package}, or install swav-dali with the extra [{extra}]"
    return UserError(f"{needed_for} needs the package {package}, which is not installed", fix=fix)
