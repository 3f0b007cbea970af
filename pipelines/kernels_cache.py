"""How kernels are compiled: once, without the GIL, kept on disk where a folder can be written.

Numba keeps machine code beside the source or in the user's cache folder. Where neither can be written the
kernels still work, compiled anew in every process; that is said once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import cfunc, njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` on first use, from the disk cache where there is one."""
    return _with_cache(lambda cache: njit(function, nogil=True, cache=cache))  # type: ignore[no-any-return]


def compiled_pointer(function: Callable[..., None], signature: Any) -> Any:
    """Compile `function` now, or load it from the disk cache: a C function callable from ctypes and compiled code."""
    return _with_cache(lambda cache: cfunc(signature, cache=cache)(function)).ctypes


def _with_cache(compile_it: Callable[[bool], Any]) -> Any:
    try:
        return compile_it(True)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        warnings.warn(_NO_CACHE, RuntimeWarning, stacklevel=4)
        return compile_it(False)


_NO_CACHE = (
    "no folder for compiled kernels can be written, so every start compiles them again: "
    "set NUMBA_CACHE_DIR to a writable folder"
)
