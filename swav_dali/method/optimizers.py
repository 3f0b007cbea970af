"""The optimizer that a configuration names, over the parameters of a network."""

from __future__ import annotations

from typing import Any

from torch import nn

from swav_dali.config.optim import OptimConfig
from swav_dali.method.adamw import AdamW
from swav_dali.method.guarded import GuardedOptimizer
from swav_dali.method.larc import Larc


def make_optimizer(model: nn.Module, optim: OptimConfig) -> GuardedOptimizer:
    """LARC over all parameters alike; LARS and AdamW without decay, and LARS without adaption, of biases and norms."""
    match optim.optimizer:
        case "larc":
            return _layerwise([{"params": list(model.parameters())}], optim)
        case "lars":
            return _layerwise(_weights_and_rest(model, {"adapt": False, "weight_decay": 0.0}), optim)
        case "adamw":
            groups = _weights_and_rest(model, {"weight_decay": 0.0})
            betas = (optim.momentum, optim.beta2)
            return AdamW(groups, lr=optim.base_lr, betas=betas, weight_decay=optim.weight_decay)


def _layerwise(groups: list[dict[str, Any]], optim: OptimConfig) -> Larc:
    return Larc(
        groups,
        lr=optim.base_lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        trust_coefficient=optim.trust_coefficient,
    )


def _weights_and_rest(model: nn.Module, of_rest: dict[str, Any]) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels, then vectors and scalars with the settings `of_rest`."""
    parameters = list(model.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], **of_rest},
    ]
