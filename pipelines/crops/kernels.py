"""One crop from decoded pixels to normalized output, and all crops of a group: the steps in the reference's order.

Resize, flip, jitter, gray, blur, normalize; a step whose coin says no costs nothing. `run_operator` is machine code
with the signature that DALI's numba operator calls, loaded from disk: nothing is compiled at a start.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from pipelines.compiled.cache import RUN_SIGNATURE, compiled, compiled_entry, state_of_sources
from pipelines.crops import parameters as p
from pipelines.crops.kernels_blur import blur
from pipelines.crops.kernels_color import grayscale, jitter, solarize
from pipelines.crops.kernels_finish import FLOAT32, finish
from pipelines.crops.kernels_resize import resize_window

Array = np.ndarray[Any, Any]
ORDERS, COLUMNS = p.ORDERS, p.COLUMNS
TOP, LEFT, HEIGHT, WIDTH, FLIP = p.TOP, p.LEFT, p.HEIGHT, p.WIDTH, p.FLIP
JITTER, ORDER, BRIGHTNESS, HUE = p.JITTER, p.ORDER, p.BRIGHTNESS, p.HUE
GRAY, SIGMA, SOLARIZE = p.GRAY, p.SIGMA, p.SOLARIZE


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
    if row[SOLARIZE] > 0:
        solarize(planes)
    finish(planes, channels, affine, kind, out)


def _run_operator(sources: int) -> Any:
    def run(
        outs: Any, out_shapes: Any, out_ndims: Any, num_outs: int, ins: Any, in_shapes: Any, in_ndims: Any, num_ins: int
    ) -> None:
        _ = sources  # makes the number part of the cache's key
        image_shape = in_shapes[num_outs]
        image = carray(ins[num_outs], (image_shape[0], image_shape[1], 3), dtype=np.uint8)
        output = carray(ins[num_outs + 1], 7, dtype=np.float32)
        affine, kind = output[:6].reshape(2, 3), int(output[6])
        for group in range(num_outs):
            num, size = out_shapes[group][0], out_shapes[group][1]
            rows = carray(ins[group], (num, COLUMNS), dtype=np.float32)
            if kind == FLOAT32:
                floats = carray(outs[group], (num, size, size, 3), dtype=np.float32)
                for crop in range(num):
                    write_crop(image, rows[crop], affine, kind, floats[crop])
            else:
                halves = carray(outs[group], (num, size, size, 3), dtype=np.uint16)
                for crop in range(num):
                    write_crop(image, rows[crop], affine, kind, halves[crop])

    return compiled_entry(run, RUN_SIGNATURE)


run_operator = _run_operator(state_of_sources())
"""Every crop of every group of one image, with the C signature DALI's numba operator calls per sample.

Arrays of pointers to data and to shapes, outputs then inputs, each with dimensions and count. Outputs: one (num,
size, size, 3) per group. Inputs: float32 (num, COLUMNS) per group, uint8 (height, width, 3), `output_row`.
"""

_CALL = ctypes.CFUNCTYPE(None, *2 * (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32))


def output_row(affine: Array, kind: int) -> Array:
    """What `run_operator` must know of its output, float32 (7,): `affine` (2, 3) as `write_crop`'s, and the kind."""
    return np.array([*affine.ravel(), kind], np.float32)


def crops_of(image: Array, parameters: Array, size: int, affine: Array, kind: int = FLOAT32) -> Array:
    """Every crop of one group as a new array (num, size, size, 3), float32 or the bits of 16-bit floats.

    `image` is uint8 (height, width, 3), `parameters` float32 (num, COLUMNS), `affine` float32 (2, 3).
    """
    ins = [np.ascontiguousarray(array) for array in (parameters, image, output_row(affine, kind))]
    outs = [np.empty((len(parameters), size, size, 3), np.float32 if kind == FLOAT32 else np.uint16)]
    shapes = [[np.array(array.shape, np.int64) for array in side] for side in (outs, ins)]
    pointers = [_pointers(arrays) for arrays in (outs, shapes[0], ins, shapes[1])]
    out_at, out_shapes, in_at, in_shapes = (array.ctypes.data for array in pointers)
    _CALL(run_operator.address)(out_at, out_shapes, None, 1, in_at, in_shapes, None, 3)
    return outs[0]


def _pointers(arrays: list[Array]) -> Array:
    return np.array([array.ctypes.data for array in arrays], np.uintp)
