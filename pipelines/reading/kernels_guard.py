"""Whether DALI may be given a picture to decode: a glance at its header, as machine code for DALI's threads.

DALI 2.4's decoder reads all headers of a batch on its threads. When it refuses one, it gives up the batch while other
threads still work on it, and the process crashes with memory that is gone: in most runs at 64 images a batch. Damage
that only decoding finds is reported as an error and is harmless. Of thousands of damaged JPEG, PNG and WebP headers
none came through this glance to crash it; of BMP and TIFF, which `shards build` leaves out by default, a few did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from pipelines.compiled.cache import RUN_SIGNATURE, compiled, compiled_entry, state_of_sources

MOST_PIXELS = 2**29
"""A damaged size asks for more memory than there is; this many take 1.6 GB."""


@compiled
def may_decode(encoded: Any, shape: Any) -> bool:
    """Whether the decoder will not refuse the header.

    Args:
        encoded: uint8 (bytes,), of any format.
        shape: int64 (3,), height and width first, as DALI's header reader sees them; it refuses most damage itself.
    """
    if shape[0] < 1 or shape[1] < 1 or shape[0] > MOST_PIXELS or shape[0] * shape[1] > MOST_PIXELS:
        return False
    if encoded.size < 2:
        return False
    if encoded[0] == 0xFF and encoded[1] == 0xD8:
        return bool(_jpeg_precision(encoded) == 8)
    return True


@compiled
def _jpeg_precision(encoded: Any) -> int:
    """Bits per component in a JPEG's frame header, 0 where there is none (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 4 < encoded.size and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int(encoded[at + 4])
        else:
            at += 2 + 256 * int(encoded[at + 2]) + int(encoded[at + 3])
    return 0


def _run_guard(sources: int) -> Any:
    def run(
        outs: Any, out_shapes: Any, out_ndims: Any, num_outs: int, ins: Any, in_shapes: Any, in_ndims: Any, num_ins: int
    ) -> None:
        _ = sources  # makes the number part of the cache's key
        encoded = carray(ins[0], (in_shapes[0][0],), dtype=np.uint8)
        shape = carray(ins[1], (3,), dtype=np.int64)
        answer = carray(outs[0], (1,), dtype=np.float32)
        answer[0] = 1.0 if may_decode(encoded, shape) else 0.0

    return compiled_entry(run, RUN_SIGNATURE)


run_guard = _run_guard(state_of_sources())
"""`may_decode` with the C signature DALI's numba operator calls: uint8 (bytes,) and int64 (3,) to float32 (1,)."""
