"""Memory at hand: what a turn will fill with files has just been touched, for every contestant alike.

A virtual machine may have given its free memory back to the host. Taking it again costs a fault in the host, and all
of them together more than the writing: seconds that hit whoever happens to come next.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

import numpy as np

PAGE = 4096


def touch(num_bytes: int) -> None:
    """Take so much memory, but half of what is free at most, in large pages as file caches do; write to it; let go."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with mmap.mmap(-1, max(PAGE, min(num_bytes, free // 2)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(memory, dtype=np.uint8)[::PAGE] = 1
