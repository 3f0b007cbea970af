"""The last step of a crop: bytes to normalized numbers of the output type, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipelines.compiled.cache import compiled

FLOAT32, FLOAT16, BFLOAT16 = 0, 1, 2


@compiled
def finish(planes: Any, channels: int, affine: Any, kind: int, out: Any) -> None:
    """Normalize and write one crop.

    Args:
        planes: uint8 (size, 3, size), each row its red, green and blue bytes.
        channels: 1 where only the first channel holds the picture, a gray one; else 3.
        affine: float32 (2, 3), scale and offset of each channel for levels 0 to 255.
        kind: FLOAT32, FLOAT16 or BFLOAT16.
        out: (size, size, 3), float32 or uint16 holding 16-bit floats.
    """
    size = planes.shape[0]
    row = np.empty(3 * size, np.float32)
    flat = out.reshape(size, 3 * size)
    for y in range(size):
        _normalize(planes[y, 0], planes[y, channels // 2], planes[y, channels - 1], affine, row)
        _store(row, kind, flat[y])


@compiled
def _normalize(red: Any, green: Any, blue: Any, affine: Any, row: Any) -> None:
    """Interleave three rows of levels as normalized float32."""
    scale_r, scale_g, scale_b = affine[0, 0], affine[0, 1], affine[0, 2]
    offset_r, offset_g, offset_b = affine[1, 0], affine[1, 1], affine[1, 2]
    for x in range(red.size):
        row[3 * x] = np.float32(np.float32(np.float32(red[x]) * scale_r) + offset_r)
        row[3 * x + 1] = np.float32(np.float32(np.float32(green[x]) * scale_g) + offset_g)
        row[3 * x + 2] = np.float32(np.float32(np.float32(blue[x]) * scale_b) + offset_b)


@compiled
def _store(row: Any, kind: int, out: Any) -> None:
    if kind == FLOAT16:
        to_float16(row, out)
    elif kind == BFLOAT16:
        to_bfloat16(row, out)
    else:
        for x in range(row.size):
            out[x] = row[x]


def _emit_bits(typing_context: Any, value: Any) -> Any:
    """The bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


_float_bits: Any = intrinsic(_emit_bits)


@compiled
def to_float16(source: Any, target: Any) -> None:
    """Round float32 `source` (n,), |value| < 65504, to float16 bits in uint16 `target` (n,), nearest even.

    Integer arithmetic: LLVM's own conversion calls a library function per number.
    """
    for i in range(target.size):
        bits = _float_bits(source[i])
        sign = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(0x8000))
        size = np.uint32(bits & np.uint32(0x7FFFFFFF))
        odd = np.uint32(np.uint32(size >> np.uint32(13)) & np.uint32(1))
        normal = np.uint32(np.uint32(size - np.uint32(0x38000000)) + np.uint32(np.uint32(0xFFF) + odd))
        # 0.5 has the float16 subnormals' step as its last bit: adding it rounds, and the sum's low bits are the answer
        small = np.uint32(_float_bits(np.float32(abs(source[i]) + np.float32(0.5))) - np.uint32(0x3F000000))
        half = small if size < np.uint32(0x38800000) else np.uint32(normal >> np.uint32(13))
        target[i] = np.uint16(half | sign)


@compiled
def to_bfloat16(source: Any, target: Any) -> None:
    """Round finite float32 `source` (n,) to bfloat16 bits in uint16 `target` (n,), nearest even."""
    for i in range(target.size):
        bits = _float_bits(source[i])
        odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        target[i] = np.uint16(np.uint32(bits + np.uint32(odd + np.uint32(0x7FFF))) >> np.uint32(16))
