"""What a rank takes of its machine, read at log steps."""

from __future__ import annotations

import torch

from swav_dali.watch.record import Local


def machine_figures(device: torch.device) -> Local:
    """Memory of the CUDA device; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    return {"peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30}
