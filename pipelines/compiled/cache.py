"""How kernels are compiled: without the GIL, and the entry point once per machine, kept on disk.

Compiling takes half a minute; loading what was compiled, a fifth of a second. Numba keeps machine code beside the
source or in the user's cache folder. Where neither can be written the kernels work all the same, compiled anew in
every process; that is said once.
"""

from __future__ import annotations

import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import cfunc, njit, types

compiled: Callable[[Callable[..., Any]], Any] = njit(nogil=True)
"""Decorator of every function inside the kernels; they are stored as part of the entry point only."""

_POINTER: Any = types.CPointer
_SHAPES = _POINTER(_POINTER(types.int64))
_RUN_SIDE = (_POINTER(types.voidptr), _SHAPES, types.voidptr, types.int32)
_SETUP_SIDE = (_SHAPES, types.voidptr, types.int32)
RUN_SIGNATURE = types.void(*_RUN_SIDE, *_RUN_SIDE)
"""What DALI's numba operator calls per sample: for outputs, then inputs, pointers to data and shapes, and counts."""
SETUP_SIGNATURE = types.void(*_SETUP_SIDE, *_SETUP_SIDE, types.int32)
"""What it calls per batch to learn the outputs' shapes: the same without data, then the number of samples."""


def state_of_sources() -> int:
    """A number that changes with any kernel file: numba itself looks at the date of the entry point's file only."""
    rooms = Path(__file__).parents[1]
    files = [rooms / "crops/parameters.py", *sorted(rooms.glob("*/kernels*.py"))]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


def compiled_entry(function: Callable[..., None], signature: Any) -> Any:
    """Compile `function` or load it from the disk cache: a C function with an `address`, for as long as it is kept."""
    try:
        with _announced():
            return cfunc(signature, cache=True)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        warnings.warn(
            "no folder for compiled kernels can be written, so every start compiles them again, for half a minute: "
            "set NUMBA_CACHE_DIR to a writable folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return cfunc(signature)(function)


@contextmanager
def _announced() -> Iterator[None]:
    """Say what the wait is for; loading from the cache is over before the line is due."""
    line = "compiling the crop kernels, once on this machine: about half a minute"
    timer = threading.Timer(5.0, lambda: print(line, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
