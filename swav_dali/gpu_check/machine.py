"""Where the figures come from."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from swav_dali.gpu_check.setting import Setting

_PACKAGES = ("torch", "torchvision", "triton", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "numba", "numpy", "pillow")


def machine(setting: Setting) -> dict[str, Any]:
    """Device, driver, cores, memory, versions."""
    found: dict[str, Any] = {
        "device": "cpu",
        "cores": setting.threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "versions": _versions(),
    }
    if setting.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found["device"] = properties.name
        found["device_memory_gib"] = round(properties.total_memory / 2**30, 1)
        found["multiprocessors"] = properties.multi_processor_count
        found["capability"] = list(torch.cuda.get_device_capability(0))
        found["cuda"] = torch.version.cuda
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
