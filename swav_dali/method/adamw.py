"""Adam with decoupled weight decay (arXiv 1711.05101), the optimizer of vision transformers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from swav_dali.method.guarded import GuardedOptimizer


class AdamW(GuardedOptimizer):
    """torch.optim.AdamW, state and numbers, that leaves out a step with a gradient that is not finite."""

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
    ) -> None:
        """Take over `params`; the names are torch's."""
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _update(self, group: dict[str, Any], params: list[Tensor], grad_norms: Tensor, found_inf: Tensor) -> None:
        steps = self._steps(params)
        torch._foreach_add_(steps, 1 - found_inf)
        beta1, beta2 = group["betas"]
        torch._fused_adamw_(
            params,
            [param.grad for param in params if param.grad is not None],
            self._zeros(params, "exp_avg"),
            self._zeros(params, "exp_avg_sq"),
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            found_inf=found_inf,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, with every count on its parameter's device: torch leaves "step" where it was read, on the CPU."""
        super().load_state_dict(state_dict)
        for param, own in self.state.items():
            if "step" in own:
                own["step"] = own["step"].to(param.device)

    def _steps(self, params: list[Tensor]) -> list[Tensor]:
        """Updates made of each parameter, counted on its device."""
        for param in params:
            if "step" not in self.state[param]:
                self.state[param]["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
        return [self.state[param]["step"] for param in params]
