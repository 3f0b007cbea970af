"""SGD with momentum whose step on each tensor is a fixed share of the tensor's norm: LARC (arXiv 1708.03888).

The reference treats every parameter alike, biases and BatchNorm included. A group with `adapt` off is plain SGD, which
is how LARS leaves biases and norms alone. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from swav_dali.method.guarded import GuardedOptimizer


class Larc(GuardedOptimizer):
    """Layer-wise scaled SGD.

    The update of every tensor w with gradient g, momentum buffer v and norms |w|, |g| is:

        ratio = trust_coefficient |w| / (|g| + weight_decay |w| + eps)
        v <- momentum v + ratio (g + weight_decay w)
        w <- w - lr v

    A tensor with |w| = 0 or |g| = 0 takes its gradient as it is (ratio 1, no decay): a zero BatchNorm bias makes its
    first step with the full rate. A tensor without gradient is left alone, momentum included. A group with `adapt`
    off has ratio 1 throughout. Gradients are scaled in place. The state is that of torch.optim.SGD.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        """Take over `params`; the names are those of the formula."""
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
            "adapt": True,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a saved state; groups of a version without LARS adapt."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("adapt", True)

    def _update(self, group: dict[str, Any], params: list[Tensor], grad_norms: Tensor, found_inf: Tensor) -> None:
        grads = [param.grad for param in params if param.grad is not None]
        torch._foreach_add_(grads, params, alpha=group["weight_decay"])
        if group["adapt"]:
            torch._foreach_mul_(grads, _ratios(group, params, grad_norms).unbind())
        torch._fused_sgd_(
            params,
            grads,
            self._zeros(params, "momentum_buffer"),
            lr=group["lr"],
            momentum=group["momentum"],
            weight_decay=0.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            found_inf=found_inf,
        )


def _ratios(group: dict[str, Any], params: list[Tensor], g: Tensor) -> Tensor:
    """The factor on each tensor's g + weight_decay w, (tensors,), from the norms `g` of the gradients."""
    w = torch.stack(torch._foreach_norm(params))
    ratio = group["trust_coefficient"] * w / (g + group["weight_decay"] * w + group["eps"])
    # Where w is zero so is the decay. Where g is zero the raw gradient is zero: no decay either, hence factor 0.
    return torch.where(w == 0, 1.0, ratio) * (g != 0)
