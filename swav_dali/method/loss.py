"""The swapped prediction loss: every crop predicts the codes of the others (arXiv 2006.09882, section 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def swapped_loss(scores: Tensor, codes: Tensor, assign_crops: Sequence[int], temperature: float) -> Tensor:
    """Mean cross-entropy between the code of each assigned crop and the predictions of all other crops.

    Args:
        scores: cosines, (crops V, batch B, prototypes).
        codes: (assigned A, batch B, prototypes), rows that sum to 1, without gradient.
        assign_crops: the A crops that `codes` belong to.
        temperature: of the predictions.

    Returns:
        The mean over this rank's batch, a scalar; ln K when the predictions say nothing.
    """
    loss: Tensor = _SwappedLoss.apply(scores, codes, tuple(assign_crops), temperature)
    return loss


class _SwappedLoss(torch.autograd.Function):
    """The loss with its gradient, which is a softmax away from it and needs no graph of V x A cross-entropies.

    With x_v = scores_v / temperature, l_v its log-sum-exp and q_i the code of assigned crop i, the loss is
    1 / (A (V - 1) B) sum_i sum_v!=i sum_b (l_v - q_i . x_v). Crop v meets all codes but its own, so that its gradient
    is (codes met) softmax(x_v) - (their sum), over A (V - 1) B and the temperature.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, codes: Tensor, assign_crops: tuple[int, ...], temperature: float) -> Tensor:
        """See swapped_loss."""
        num_codes, batch_size = codes.shape[:2]
        num_terms = num_codes * (scores.shape[0] - 1) * batch_size
        all_codes = codes.sum(dim=0)
        agreement = (all_codes * scores.sum(dim=0)).sum()
        for code, crop in zip(codes, assign_crops, strict=True):
            agreement = agreement - (code * scores[crop]).sum()

        buffer = scores / temperature  # becomes exp(x - largest), then the gradient: the one tensor of this size
        largest = buffer.amax(dim=2, keepdim=True)
        sums = buffer.sub_(largest).exp_().sum(dim=2, keepdim=True)
        log_sums = largest + sums.log()
        codes_met = log_sums.new_full((scores.shape[0], 1, 1), num_codes)
        for crop in assign_crops:
            codes_met[crop] -= 1
        gradient = buffer.mul_(codes_met / sums).sub_(all_codes)
        for code, crop in zip(codes, assign_crops, strict=True):
            gradient[crop].add_(code)
        total: Tensor = (codes_met * log_sums).sum() - agreement / temperature
        ctx.save_for_backward(gradient)
        ctx.scale = 1 / (num_terms * temperature)
        return total / num_terms

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient of the scores, in the saved tensor itself: a second backward raises, it never scales twice."""
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(grad_outputs[0] * ctx.scale), None, None, None
