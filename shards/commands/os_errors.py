"""A command's trouble with files and disks as one line: no permission, no space, no such folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import wraps

from shards.errors import ShardError

Run = Callable[[argparse.Namespace], int]


def say_os_errors(run: Run) -> Run:
    """The same command, raising `ShardError` with the file's name where the operating system refused something."""

    @wraps(run)
    def said(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except OSError as error:
            raise ShardError(error.strerror or str(error), where=error.filename) from error

    return said
