"""Faults inside a rank: replaced functions of that process, armed for a step or for a file operation."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.drill.stable import Hook, Place, read_step

FILE_OPERATIONS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "pwrite", "ftruncate")


def at_step(number: int, act: Callable[[], object], *, rank: int = 0, attempt: int = 0) -> Hook:
    """Act in `rank` as step `number` of the run (from 1) begins, in that attempt of torchrun."""

    def hook(place: Place) -> None:
        import swav_dali.run.loop as loop

        if (place.rank, place.attempt) != (rank, attempt):
            return
        real = loop._step

        def step(run: Any, batch: Any) -> Any:
            if run.clock.step + 1 == number:
                act()
            return real(run, batch)

        loop._step = step

    return hook


def at_file_operation(
    number: int, act: Callable[[], object], *, rank: int = 0, attempt: int = 0, kinds: tuple[str, ...] = FILE_OPERATIONS
) -> Hook:
    """Act in `rank` just before its file operation `number` (from 1) of these kinds."""

    def hook(place: Place) -> None:
        if (place.rank, place.attempt) != (rank, attempt):
            return
        count = 0

        def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    act()
                return real(*args, **kwargs)

            return operation

        for kind in kinds:
            setattr(os, kind, wrapped(getattr(os, kind)))

    return hook


def die() -> None:
    """As by kill -9 or the kernel's out-of-memory killer."""
    os.kill(os.getpid(), signal.SIGKILL)


def wall_clock(jump: Callable[[float], float], *, at: int = 0) -> Hook:
    """time.time() is `jump` of the true one from step `at` on, in every rank; monotonic clocks stay."""

    def hook(place: Place) -> None:
        real = time.time

        def shifted() -> float:
            now = real()
            return jump(now) if read_step(place.steps, place.rank) >= at else now

        time.time = shifted

    return hook


def no_space(error: int = errno.ENOSPC) -> None:
    raise OSError(error, os.strerror(error))
