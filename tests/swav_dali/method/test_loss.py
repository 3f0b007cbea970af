"""The fused loss and its gradients against one cross-entropy per pair of crops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from swav_dali.method.loss import swapped_loss


def loss_by_pairs(scores: Tensor, codes: Tensor, assign_crops: tuple[int, ...], temperature: float) -> Tensor:
    total = scores.new_zeros(())
    for code, crop in zip(codes, assign_crops, strict=True):
        others = [v for v in range(len(scores)) if v != crop]
        pairs = [-(code * functional.log_softmax(scores[v] / temperature, dim=1)).sum(1).mean() for v in others]
        total = total + sum(pairs) / len(others)
    return total / len(assign_crops)


def made(crops: int, num_assign: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(crops)
    scores = torch.rand(crops, 5, 7, generator=generator, dtype=dtype) * 2 - 1
    codes = torch.rand(num_assign, 5, 7, generator=generator, dtype=dtype).softmax(2)
    return scores.requires_grad_(), codes


@pytest.mark.parametrize(("crops", "assign_crops"), [(2, (0, 1)), (8, (0, 1)), (2, (1,)), (3, (0, 1, 2)), (5, (1, 0))])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_value_and_gradient_are_those_of_the_loop_over_pairs(
    crops: int, assign_crops: tuple[int, ...], temperature: float
) -> None:
    scores, codes = made(crops, len(assign_crops))
    fused = swapped_loss(scores, codes, assign_crops, temperature)
    naive = loss_by_pairs(scores, codes, assign_crops, temperature)
    torch.testing.assert_close(fused, naive, rtol=1e-13, atol=0)
    (gradient,) = torch.autograd.grad(fused, scores)
    (expected,) = torch.autograd.grad(naive, scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


def test_float32_is_within_rounding_of_float64() -> None:
    scores, codes = made(8, 2)
    exact = swapped_loss(scores, codes, (0, 1), 0.1)
    rounded = swapped_loss(scores.float(), codes.float(), (0, 1), 0.1)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-6, atol=0)


def test_predictions_that_say_nothing_cost_ln_k() -> None:
    codes = made(4, 2)[1]
    assert swapped_loss(torch.zeros(4, 5, 7), codes.float(), (0, 1), 0.1).item() == pytest.approx(math.log(7))
