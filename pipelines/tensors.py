"""DALI's outputs as torch tensors, without a copy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_tensor(output: Any) -> Tensor:
    """A uniform TensorList as one tensor on its device; it keeps DALI's memory alive as long as it lives."""
    return torch.from_dlpack(output.as_tensor())


def crop_view(output: Any) -> Tensor:
    """(batch, num, size, size, 3) memory seen as (batch, num, 3, size, size): each crop is channels_last."""
    return as_tensor(output).permute(0, 1, 4, 2, 3)
