"""Settings of the device a rank trains on."""

from __future__ import annotations

import os
from typing import Any

import torch

from swav_dali.config.sections import Precision
from swav_dali.errors import ConfigError


def prepare_device(device: torch.device, *, deterministic: bool) -> None:
    """Select the CUDA device and how its kernels are picked; nothing to do on a CPU.

    TF32 is switched off: what a run does in float32, all of it with --precision float32 and whatever follows the head
    with bfloat16, has float32's 24 bits, where torch's default would leave convolutions 11.
    Call it before the first kernel: cuBLAS reads its workspace setting when it starts.
    """
    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    cudnn: Any = torch.backends.cudnn
    for backend in (torch.backends.cuda.matmul, cudnn, cudnn.conv):
        backend.fp32_precision = "ieee"  # each by name: torch 2.11 leaves convolutions at TF32 otherwise
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype to autocast to, or None for plain float32.

    Raises:
        ConfigError: bfloat16 on a CPU, where torch's convolutions gave NaN gradients in 3 of 40 equal steps, or on a
            CUDA device without it.
    """
    if precision == "bfloat16" and device.type != "cuda":
        raise ConfigError("not sound on a CPU", where="--precision", found=precision, fix="--precision float32")
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bfloat16" and not has_bfloat16:
        raise ConfigError("this device has no bfloat16", where="--precision", fix="--precision float32 or float16")
    if precision == "float16":
        return torch.float16
    return torch.bfloat16 if has_bfloat16 and precision != "float32" else None


def threads_per_rank(ranks_per_node: int) -> int:
    """This rank's share of its machine's cores, or the cores it is bound to where those are fewer; at least one."""
    share = (os.cpu_count() or 1) // ranks_per_node
    return max(1, min(share, len(os.sched_getaffinity(0))))
