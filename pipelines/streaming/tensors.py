"""DALI's outputs as torch tensors, without a copy."""

from __future__ import annotations

from typing import Any

import torch
import torch.utils.dlpack
from torch import Tensor


def as_tensor(output: Any) -> Tensor:
    """A uniform TensorList as one tensor on its device; it keeps DALI's memory alive as long as it lives."""
    return torch.utils.dlpack.from_dlpack(output.as_tensor())


def crop_view(output: Any, dtype: torch.dtype) -> Tensor:
    """(batch, num, size, size, 3) memory seen as (batch, num, 3, size, size): each crop is channels_last.

    uint16 holds the bits of a 16-bit `dtype`; any other type is converted to it.
    """
    crops = as_tensor(output).permute(0, 1, 4, 2, 3)
    return crops.view(dtype) if crops.dtype == torch.uint16 else crops.to(dtype)
