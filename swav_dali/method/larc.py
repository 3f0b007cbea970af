"""SGD with momentum whose step on each tensor is a fixed share of the tensor's norm: LARC (arXiv 1708.03888).

The reference treats every parameter alike, biases and BatchNorm included. A group with `adapt` off is plain SGD, which
is how LARS leaves biases and norms alone. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from swav_dali.method.guarded import GuardedOptimizer

_Norm = TypeVar("_Norm", float, Tensor)
_PLAIN_SGD = {"nesterov": False, "maximize": False, "is_first_step": False}


class Larc(GuardedOptimizer):
    """Layer-wise scaled SGD.

    The update of every tensor w with gradient g, momentum buffer v and norms |w|, |g| is:

        ratio = trust_coefficient |w| / (|g| + weight_decay |w| + eps)
        v <- momentum v + ratio (g + weight_decay w)
        w <- w - lr v

    A tensor with |w| = 0 or |g| = 0 takes its gradient as it is (ratio 1, no decay): a zero BatchNorm bias makes its
    first step with the full rate. A tensor without gradient is left alone, momentum included. A group with `adapt`
    off has ratio 1 throughout. Gradients may be changed in place. The state is that of torch.optim.SGD.
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
        buffers = self._zeros(params, "momentum_buffer")
        constants = {**_PLAIN_SGD, "lr": group["lr"], "momentum": group["momentum"], "found_inf": found_inf}
        if group["adapt"] and params[0].is_cpu:
            _sgd_by_tensor(params, grads, buffers, group, grad_norms, constants)
            return
        torch._foreach_add_(grads, params, alpha=group["weight_decay"])
        if group["adapt"]:
            torch._foreach_mul_(grads, _ratios(group, params, grad_norms).unbind())
        torch._fused_sgd_(params, grads, buffers, weight_decay=0.0, dampening=0.0, **constants)


def _sgd_by_tensor(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    group: dict[str, Any],
    grad_norms: Tensor,
    constants: dict[str, Any],
) -> None:
    """The same in one pass over each tensor instead of three: on a CPU passes cost and reading a ratio does not.

    SGD multiplies g + weight_decay w by 1 - dampening on its way into the momentum; here that factor is the ratio.
    """
    decay = group["weight_decay"]
    for param, grad, buffer, slope in zip(params, grads, buffers, grad_norms.tolist(), strict=True):
        size = float(torch.linalg.vector_norm(param))  # right before the pass, which finds it in the cache
        ratio = (_share(group, size, slope) if size else 1.0) * (slope != 0)
        torch._fused_sgd_([param], [grad], [buffer], weight_decay=decay, dampening=1 - ratio, **constants)


def _ratios(group: dict[str, Any], params: list[Tensor], g: Tensor) -> Tensor:
    """The factor on each tensor's g + weight_decay w, (tensors,), from the norms `g` of the gradients."""
    w = torch.stack(torch._foreach_norm(params))
    # Where w is zero so is the decay. Where g is zero the raw gradient is zero: no decay either, hence factor 0.
    return torch.where(w == 0, 1.0, _share(group, w, g)) * (g != 0)


def _share(group: dict[str, Any], w: _Norm, g: _Norm) -> _Norm:
    scaled: _Norm = group["trust_coefficient"] * w / (g + group["weight_decay"] * w + group["eps"])
    return scaled
