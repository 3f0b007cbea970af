"""The decoded pictures of a batch as the stage takes them: one run of bytes on the device, and where each begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.utils.dlpack
from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Pictures:
    """RGB pictures of different sizes, one behind the other.

    Attributes:
        pixels: uint8 (bytes,) on the device.
        starts: int64 (batch,), byte at which each begins; on the host, as what follows.
        heights: int64 (batch,), rows of each.
        widths: int64 (batch,), pixels of a row, which is 3 * width bytes.
    """

    pixels: Tensor
    starts: Array
    heights: Array
    widths: Array


def pictures_of(output: Any) -> Pictures:
    """DALI's list of uint8 (height, width, 3) pictures as one view, which keeps their memory alive.

    Nothing is copied: DALI lays every output of a pipeline out in one piece.
    """
    shapes = np.array(output.shape(), np.int64)
    sizes = shapes.prod(axis=1)
    flat = torch.utils.dlpack.from_dlpack(output.as_reshaped_tensor([int(sizes.sum())]))
    return Pictures(pixels=flat, starts=np.cumsum(sizes) - sizes, heights=shapes[:, 0], widths=shapes[:, 1])
