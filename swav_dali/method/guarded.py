"""What the optimizers here share: a step that changes nothing where a gradient is not finite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class GuardedOptimizer(torch.optim.Optimizer, ABC):
    """An optimizer that skips such a step on the device, without waiting for it, its own state included."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Tensor:  # type: ignore[override]
        """Update every parameter that has a gradient, unless the norm of one is not finite; takes no closure.

        Returns:
            The L2 norm of every parameter's gradient, (parameters,), in the order of the groups; 0 where none is.
        """
        assert closure is None
        params = [param for group in self.param_groups for param in group["params"]]
        grads = {param: param.grad for param in params if param.grad is not None}
        norms = dict(zip(grads, torch._foreach_norm(list(grads.values())), strict=True)) if grads else {}
        zero = torch.zeros((), device=params[0].device, dtype=params[0].dtype)
        all_norms = torch.stack([norms.get(param, zero) for param in params])
        found_inf = (~all_norms.isfinite().all()).float()
        for group in self.param_groups:
            moving = [param for param in group["params"] if param in grads]
            if moving:
                self._update(group, moving, torch.stack([norms[param] for param in moving]), found_inf)
        return all_norms

    @abstractmethod
    def _update(self, group: dict[str, Any], params: list[Tensor], grad_norms: Tensor, found_inf: Tensor) -> None:
        """Move `params`, all with a gradient, (tensors,) norms of which are given, where `found_inf` is 0."""

    def _zeros(self, params: list[Tensor], name: str) -> list[Tensor]:
        """The state `name` of each parameter, made of zeros where it is new."""
        for param in params:
            if name not in self.state[param]:
                self.state[param][name] = torch.zeros_like(param)
        return [self.state[param][name] for param in params]
