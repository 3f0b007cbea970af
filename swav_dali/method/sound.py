"""A step whose loss or gradients are not finite changes nothing, on any rank, and tells which tensor was first.

All of it stays on the device. No collective is spent on it: a loss that is not finite makes every gradient of its
rank NaN, and the average over the ranks takes that to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Variable

from swav_dali.model.names import published_name
from swav_dali.ranks.timer import COLLECTIVES, Timer, untimed

SOUND = -1
"""The culprit of a step with nothing to complain of."""
OVERFLOW = -2
"""Of a step in float16 that was too much for its loss scale: left out, and nothing to complain of either."""
_FORWARD = ("embeddings", "loss")


def backward(loss: Tensor, scale: Tensor | None = None, timed: Timer = untimed) -> None:
    """Gradients of `loss`, times `scale` if there is one; all NaN where the loss is not finite.

    With several ranks what is left of their all-reduce once the last gradient is there is `timed`: the part that no
    arithmetic hides.
    """
    with ExitStack() as waiting:
        if dist.is_initialized():
            _call_after_gradients(loss, partial(waiting.enter_context, timed(COLLECTIVES)))
        loss.backward(torch.where(loss.isfinite(), 1.0 if scale is None else scale, torch.nan).to(loss.dtype))


def _call_after_gradients(loss: Tensor, call: Callable[[], None]) -> None:
    """Have autograd `call` at the end of the backward of `loss`, ahead of those who wait for the ranks there."""
    loss.register_hook(lambda _: Variable._execution_engine.queue_callback(call))


def culprit(embeddings: Tensor, loss: Tensor, gradient_norms: Tensor) -> Tensor:
    """What was not finite first in this rank's step: an index into `tensor_names`, int64 scalar, or SOUND.

    It is SOUND on all ranks or on none.

    Args:
        embeddings: of the step, any shape.
        loss: of this rank.
        gradient_norms: of every parameter, averaged over the ranks, (parameters,).
    """
    forward = torch.stack([embeddings.sum(), loss]).to(gradient_norms.dtype)
    is_bad = ~torch.cat([forward, gradient_norms]).isfinite()
    return torch.where(is_bad.any(), is_bad.int().argmax(), SOUND)


def tensor_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """What the indices of `culprit` mean, for an optimizer over the parameters of `model`."""
    names = {parameter: published_name(name) for name, parameter in model.named_parameters()}
    ordered = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    return [*_FORWARD, *(f"gradient of {name}" for name in ordered)]


class Undo:
    """Puts tensors back that a step moves before anyone knows whether it is sound."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Remember the present values of the floating-point ones among `tensors`."""
        self._tensors = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self._before = _flat(self._tensors)

    @torch.no_grad()
    def undo_if(self, is_wanted: Tensor) -> None:
        """Put the remembered values back where the bool scalar `is_wanted` says so."""
        if not self._tensors:
            return
        kept = torch.where(is_wanted, self._before, _flat(self._tensors))
        parts = kept.split([tensor.numel() for tensor in self._tensors])
        shaped = [part.view_as(tensor) for part, tensor in zip(parts, self._tensors, strict=True)]
        torch._foreach_copy_(self._tensors, shaped)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors]) if tensors else torch.empty(0)
