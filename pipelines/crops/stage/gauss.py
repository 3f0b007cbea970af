"""Blur weights of many crops at once, from the function that makes the compiled kernels' own.

They are made on the host because a GPU's exponential need not round as the C library's does; 48 bytes a crop.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from pipelines.compiled.cache import compiled_entry, state_of_sources
from pipelines.crops.kernels_blur import gaussian_weights
from pipelines.crops.stage.columns import REACH

Array = np.ndarray[Any, Any]
_SIGNATURE = types.void(types.voidptr, types.int64, types.int64, types.voidptr, types.voidptr)


def _entry(sources: int) -> Any:
    def fill(sigmas_at: Any, count: int, size: int, weights_at: Any, radii_at: Any) -> None:
        _ = sources  # makes the number part of the cache's key
        sigmas = carray(sigmas_at, count, dtype=np.float32)
        weights = carray(weights_at, (count, REACH), dtype=np.float32)
        radii = carray(radii_at, count, dtype=np.int64)
        for crop in range(count):
            if sigmas[crop] > 0:
                half = gaussian_weights(sigmas[crop], size)
                radii[crop] = half.size - 1
                weights[crop, : half.size] = half

    return compiled_entry(fill, _SIGNATURE)


_FILL = _entry(state_of_sources())
_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def blur_weights(sigmas: Array, size: int) -> tuple[Array, Array]:
    """Half a Gaussian kernel per crop of `size` pixels.

    Args:
        sigmas: float32 (crops,), in pixels, 0 where a crop is not blurred.
        size: side of the crops.

    Returns:
        Weights float32 (crops, REACH), centre first and zeros behind the last; radii int64 (crops,), 0 for no blur.
    """
    sigmas = np.ascontiguousarray(sigmas)
    weights, radii = np.zeros((len(sigmas), REACH), np.float32), np.zeros(len(sigmas), np.int64)
    arrays = (array.ctypes.data for array in (sigmas, weights, radii))
    sigmas_at, weights_at, radii_at = arrays
    _CALL(_FILL.address)(sigmas_at, len(sigmas), size, weights_at, radii_at)
    return weights, radii
