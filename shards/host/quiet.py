"""Silence for libraries that write to the terminal behind Python's back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def standard_error_closed() -> Iterator[None]:
    """Let what C code of this process writes to its standard error go nowhere. Other threads are silenced too."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # the shell has closed it
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
