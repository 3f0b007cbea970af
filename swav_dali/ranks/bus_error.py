"""A tar that shrinks in DALI's memory map ends the process by SIGBUS, without a word: here with its name.

Python's own signal handlers never run for it: the thread that faults would have to return first. So the handler is a
C function made by ctypes, which takes the interpreter's lock and looks up the address among the mapped files. That is
sound for this signal because it comes from an instruction that reads a mapped file, never from inside malloc or from
code that another thread's Python waits for.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swav_dali.errors import TrainingError
from swav_dali.ranks.abort import EXIT_CODE, write_error_file

_SA_SIGINFO = 4
_ADDRESS_OFFSET = 16  # of si_addr in siginfo_t on 64-bit Linux
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Action(ctypes.Structure):
    """glibc's struct sigaction."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


@contextmanager
def bus_errors_named() -> Iterator[None]:
    """Within the block a SIGBUS ends the process with one line that names the file, exit code 2."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours, before = _Action(), _Action()
    ours.handler = ctypes.cast(_handler, ctypes.c_void_p).value
    ours.flags = _SA_SIGINFO
    if libc.sigaction(signal.SIGBUS, ctypes.byref(ours), ctypes.byref(before)):
        raise OSError(ctypes.get_errno(), "sigaction")
    try:
        yield
    finally:
        libc.sigaction(signal.SIGBUS, ctypes.byref(before), None)


def _on_bus_error(_number: int, info: int, _context: int) -> None:
    address = ctypes.c_uint64.from_address(info + _ADDRESS_OFFSET).value
    error = TrainingError(
        "it was cut short, or its disk failed, while it was read",
        where=mapped_file(address),
        fix="put it back (python -m shards check DIR compares checksums) and start again to continue",
    )
    write_error_file(str(error))
    os.write(2, f"error: {error}\n".encode())
    os._exit(EXIT_CODE)


_handler = _Handler(_on_bus_error)  # kept for ever: the kernel holds its address


def mapped_file(address: int) -> str:
    """The file whose map an address of this process lies in."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, *_, path = line.split(maxsplit=5) if line.count("/") else (line.split()[0], "")
        first, last = (int(part, 16) for part in span.split("-"))
        if first <= address < last:
            return path or "memory without a file"
    return "unmapped memory"
