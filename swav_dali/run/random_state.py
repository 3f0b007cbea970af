"""The random generators of the process, as one part of a checkpoint."""

from __future__ import annotations

from typing import Any

import torch


class RandomState:
    """torch's generators on the CPU and, when the run uses one, on its CUDA device."""

    def __init__(self, device: torch.device) -> None:
        """Cover the CPU and `device`."""
        self._device = device

    def state_dict(self) -> dict[str, Any]:
        """uint8 states by device type."""
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the generators this process has; a state of another device type is left alone."""
        torch.set_rng_state(state["cpu"])
        if self._device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self._device)
