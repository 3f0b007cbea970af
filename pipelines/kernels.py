"""One crop from decoded pixels to normalized output, and all crops of a group: the steps in the reference's order.

Resize, flip, jitter, gray, blur, normalize; a step whose coin says no costs nothing. `write_group` is machine code
behind a plain C pointer, so that whoever calls it from compiled code (DALI compiles its operator at every start)
links nothing and compiles nothing of it again.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from pipelines import exact_parameters as p
from pipelines.kernels_blur import blur
from pipelines.kernels_cache import compiled, compiled_entry
from pipelines.kernels_color import grayscale, jitter
from pipelines.kernels_finish import FLOAT32, finish
from pipelines.kernels_resize import resize_window

Array = np.ndarray[Any, Any]
ORDERS, COLUMNS = p.ORDERS, p.COLUMNS
TOP, LEFT, HEIGHT, WIDTH, FLIP = p.TOP, p.LEFT, p.HEIGHT, p.WIDTH, p.FLIP
JITTER, ORDER, BRIGHTNESS, HUE, GRAY, SIGMA = p.JITTER, p.ORDER, p.BRIGHTNESS, p.HUE, p.GRAY, p.SIGMA


@compiled
def write_crop(image: Any, row: Any, affine: Any, kind: int, out: Any) -> None:
    """Write one crop.

    Args:
        image: uint8 (height, width, 3).
        row: float32 (COLUMNS,), see exact_parameters.
        affine: float32 (2, 3), scale and offset of each channel for levels 0 to 255.
        kind: one of kernels_finish.FLOAT32, FLOAT16, BFLOAT16.
        out: (size, size, 3), float32 or uint16 holding 16-bit floats.
    """
    top, left, height, width = int(row[TOP]), int(row[LEFT]), int(row[HEIGHT]), int(row[WIDTH])
    planes = resize_window(image, top, left, height, width, out.shape[0], row[FLIP] > 0)
    if row[JITTER] > 0:
        jitter(planes, ORDERS[int(row[ORDER])], row[BRIGHTNESS : HUE + 1])
    channels = 3
    if row[GRAY] > 0:
        grayscale(planes)
        channels = 1
    if row[SIGMA] > 0:
        blur(planes, row[SIGMA], channels)
    finish(planes, channels, affine, kind, out)


def _write_group(sources: int) -> Any:
    """The entry point, kept on disk under the state of all kernel files: numba looks at this file's date only."""

    def write_group(
        image: Any, height: int, width: int, rows: Any, num: int, affine: Any, kind: int, out: Any, size: int
    ) -> None:
        _ = sources  # makes the number part of the cache's key
        pixels = carray(image, (height, width, 3), dtype=np.uint8)
        parameters = carray(rows, (num, COLUMNS), dtype=np.float32)
        scales = carray(affine, (2, 3), dtype=np.float32)
        if kind == FLOAT32:
            floats = carray(out, (num, size, size, 3), dtype=np.float32)
            for crop in range(num):
                write_crop(pixels, parameters[crop], scales, kind, floats[crop])
        else:
            halves = carray(out, (num, size, size, 3), dtype=np.uint16)
            for crop in range(num):
                write_crop(pixels, parameters[crop], scales, kind, halves[crop])

    pointer, count = types.voidptr, types.intp
    return compiled_entry(
        write_group, types.void(pointer, count, count, pointer, count, pointer, count, pointer, count)
    )


def _state_of_sources() -> int:
    files = [*sorted(Path(__file__).parent.glob("kernels*.py")), Path(p.__file__)]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


write_group = _write_group(_state_of_sources())
"""C function (image, height, width, parameters, num, affine, kind, out, size): every crop of one group of an image.

`parameters` is float32 (num, COLUMNS), `out` is (num, size, size, 3); the rest as `write_crop`'s.
"""


def crops_of(image: Array, parameters: Array, size: int, affine: Array, kind: int = FLOAT32) -> Array:
    """Every crop of one group as a new array (num, size, size, 3), float32 or the bits of 16-bit floats.

    `image` is uint8 (height, width, 3), `parameters` float32 (num, COLUMNS), `affine` float32 (2, 3).
    """
    image, parameters, affine = (np.ascontiguousarray(array) for array in (image, parameters, affine))
    out = np.empty((len(parameters), size, size, 3), np.float32 if kind == FLOAT32 else np.uint16)
    pointers = [array.ctypes.data for array in (image, parameters, affine, out)]
    write_group(pointers[0], *image.shape[:2], pointers[1], len(parameters), pointers[2], kind, pointers[3], size)
    return out
