"""Weighted k-nearest-neighbour classification of unit features: the figure that needs no training.

Votes weigh exp(cosine / temperature) (Wu et al. 2018, arXiv 1805.01978, section 3.4), the protocol the SwAV
paper's own kNN figure uses.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CHUNK = 1024  # rows of similarities at once: 100,000 training features make 400 MB


def knn_predict(
    queries: Tensor, features: Tensor, labels: Tensor, *, num_classes: int, neighbours: int, temperature: float
) -> Tensor:
    """Class of each query, int64 (queries,).

    Args:
        queries: float (queries, dim), unit rows.
        features: float (images, dim), unit rows, the voters.
        labels: int64 (images,) in [0, num_classes).
        num_classes: number of classes.
        neighbours: voters per query; fewer where there are fewer images.
        temperature: a smaller value lets the nearest decide.
    """
    k = min(neighbours, len(features))
    predicted = [_vote(chunk @ features.T, labels, num_classes, k, temperature) for chunk in queries.split(_CHUNK)]
    return torch.cat(predicted) if predicted else labels.new_empty(0)


def _vote(similarity: Tensor, labels: Tensor, num_classes: int, k: int, temperature: float) -> Tensor:
    cosine, index = similarity.topk(k, dim=1)  # (chunk, k)
    weight = ((cosine - 1) / temperature).exp()  # a cosine is at most 1: no overflow
    votes = weight.new_zeros(len(similarity), num_classes)
    return votes.scatter_add_(1, labels[index], weight).argmax(1)
