"""The published loop restated, one crop, one parameter, one term at a time: what the bench compares with."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from swav_dali.config.sections import SwavConfig


class PlainHead:
    """Codes, queue and loss: a Sinkhorn per assigned crop, a log-softmax per pair of crops."""

    def __init__(self, queue: Tensor | None, swav: SwavConfig) -> None:
        """Own a full queue, (assigned, rows, dim), or none."""
        self.queue = None if queue is None else queue.clone()
        self.swav = swav

    def loss(self, embeddings: Tensor, scores: Tensor, prototypes: Tensor) -> Tensor:
        """The loss of scores (crops, batch, prototypes) with a graph; embeddings (crops, batch, dim) are queued."""
        num_crops = len(scores)
        total = scores.new_zeros(())
        for number, crop in enumerate(self.swav.assign_crops):
            code = self._code(number, embeddings[crop], scores[crop].detach(), prototypes)
            pairs = scores.new_zeros(())
            for other in range(num_crops):
                if other != crop:
                    log_p = functional.log_softmax(scores[other] / self.swav.temperature, dim=1)
                    pairs = pairs - (code * log_p).sum(dim=1).mean()
            total = total + pairs / (num_crops - 1)
        return total / len(self.swav.assign_crops)

    @torch.no_grad()
    def _code(self, number: int, newest: Tensor, scores: Tensor, prototypes: Tensor) -> Tensor:
        batch_size = len(newest)
        if self.queue is not None:
            queue = self.queue[number]
            scores = torch.cat([queue @ prototypes.T, scores])
            queue[batch_size:] = queue[:-batch_size].clone()
            queue[:batch_size] = newest
        return _sinkhorn(scores, self.swav.epsilon, self.swav.sinkhorn_iterations)[-batch_size:]


def _sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    mass = torch.exp(scores / epsilon).T  # (prototypes, images)
    num_prototypes, num_images = mass.shape
    mass /= mass.sum()
    for _ in range(iterations):
        mass /= mass.sum(dim=1, keepdim=True)
        mass /= num_prototypes
        mass /= mass.sum(dim=0, keepdim=True)
        mass /= num_images
    mass *= num_images
    return mass.T


class PlainLarc:
    """LARC by a loop over the parameters, each of which is waited for, then SGD by another."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float, trust: float) -> None:
        """Take over `params`."""
        self.params = list(params)
        self.weight_decay, self.trust = weight_decay, trust
        self.sgd = torch.optim.SGD(self.params, lr=lr, momentum=0.9, foreach=False)

    @torch.no_grad()
    def step(self) -> None:
        """Scale every gradient in place, then step."""
        for param in self.params:
            grad = param.grad
            if grad is None:
                continue
            size, slope = torch.norm(param), torch.norm(grad)
            if size != 0 and slope != 0:
                ratio = self.trust * size / (slope + self.weight_decay * size + 1e-8)
                grad += self.weight_decay * param
                grad *= ratio
        self.sgd.step()
