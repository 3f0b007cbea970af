"""Linear classifiers on frozen features: many heads trained side by side, in one pass over cached features.

The published protocol (arXiv 2006.09882, appendix) is one linear layer on globally pooled features, SGD with momentum
0.9, rate 0.3 for batches of 256, weight decay 1e-6, a cosine over 100 epochs. Here the features are computed once,
without augmentation, so that a grid of rates costs no more than one: the best rate and all others are reported. The
heads are slices of one tensor; a step of all of them is three matrix products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEARNING_RATES = (0.001, 0.003, 0.006, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6, 1.0, 3.0)
"""For batches of 256; 0.3 is the published one. They are scaled by batch / 256."""
_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearOptions:
    """How heads are trained.

    Attributes:
        epochs: passes over the features.
        batch_size: images per step.
        weight_decay: on weights and biases.
        seed: of the weights and the order of the images.
        rates: learning rates for batches of 256, one head each.
    """

    epochs: int = 100
    batch_size: int = 256
    weight_decay: float = 1e-6
    seed: int = 31
    rates: tuple[float, ...] = LEARNING_RATES


@dataclass(frozen=True, slots=True)
class Heads:
    """Trained heads.

    Attributes:
        weight: float32 (heads, dim, classes).
        bias: float32 (heads, 1, classes).
        mean, std: float32 (dim,), of the training features; a head sees (features - mean) / std.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """(images, dim) -> (heads, images, classes)."""
        return ((features - self.mean) / self.std) @ self.weight + self.bias


def train_heads(
    features: Tensor, labels: Tensor, *, num_classes: int, options: LinearOptions, part: slice = slice(None)
) -> Heads:
    """One head per rate, trained on the same batches.

    Features are standardized by their training mean and deviation, so that one grid of rates serves networks whose
    features differ by orders of magnitude.

    Args:
        features: float32 (images, dim), frozen.
        labels: int64 (images,) in [0, num_classes).
        num_classes: width of the heads.
        options: see LinearOptions.
        part: the heads to train; each ends as it would among all.
    """
    generator = torch.Generator().manual_seed(options.seed)
    mean, std = features.mean(0), features.std(0, correction=0)
    drawn = torch.randn(len(options.rates), features.shape[1], num_classes, generator=generator)[part] * 0.01
    bias = features.new_zeros(len(drawn), 1, num_classes)
    heads = Heads(drawn.to(features.device), bias, mean, torch.where(std > 0, std, 1.0))
    rates = features.new_tensor(options.rates)[part].view(-1, 1, 1) * options.batch_size / 256
    momenta = [torch.zeros_like(heads.weight), torch.zeros_like(heads.bias)]
    for epoch in range(options.epochs):
        now = rates * 0.5 * (1 + math.cos(math.pi * epoch / options.epochs))
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for chosen in order.split(options.batch_size):
            _step(heads, momenta, features[chosen], labels[chosen], now, options.weight_decay)
    return heads


@torch.no_grad()
def _step(
    heads: Heads, momenta: list[Tensor], features: Tensor, labels: Tensor, rates: Tensor, weight_decay: float
) -> None:
    """SGD with momentum on the mean cross-entropy of every head; its gradient is (softmax - one-hot) / images."""
    inputs = (features - heads.mean) / heads.std
    error = (inputs @ heads.weight + heads.bias).softmax(-1)  # (heads, batch, classes)
    error -= functional.one_hot(labels, error.shape[-1])
    error /= len(labels)
    gradients = (inputs.T @ error, error.sum(1, keepdim=True))
    for value, momentum, gradient in zip((heads.weight, heads.bias), momenta, gradients, strict=True):
        momentum.mul_(_MOMENTUM).add_(gradient).add_(value, alpha=weight_decay)
        value.sub_(rates * momentum)


@torch.no_grad()
def accuracies(heads: Heads, features: Tensor, labels: Tensor, *, top: int = 1, chunk: int = 1024) -> list[float]:
    """Share of the images whose label is among the `top` largest logits, in [0, 1], for every head."""
    hits = features.new_zeros(len(heads.weight), dtype=torch.int64)
    for rows, truth in zip(features.split(chunk), labels.split(chunk), strict=True):
        best = heads.logits(rows).topk(top, dim=-1).indices
        hits += (best == truth[None, :, None]).any(-1).sum(1)
    return [count / len(labels) for count in hits.tolist()]
