"""kNN against a float64 loop that follows the formula word by word."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from swav_dali.evaluate.knn import knn_predict


def slow_knn(queries, features, labels, num_classes, neighbours, temperature):
    predicted = []
    for query in queries.double():
        cosines = sorted(
            ((float(query @ row), int(label)) for row, label in zip(features.double(), labels, strict=True)),
            reverse=True,
        )
        votes = [0.0] * num_classes
        for cosine, label in cosines[:neighbours]:
            votes[label] += math.exp(cosine / temperature)
        predicted.append(votes.index(max(votes)))
    return torch.tensor(predicted)


@pytest.mark.parametrize("neighbours", [1, 5, 20, 500])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_equal_the_formula(neighbours: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(neighbours)
    features = functional.normalize(torch.randn(120, 16, generator=generator), dim=1)
    queries = functional.normalize(torch.randn(40, 16, generator=generator), dim=1)
    labels = torch.randint(0, 7, (120,), generator=generator)
    ours = knn_predict(queries, features, labels, num_classes=7, neighbours=neighbours, temperature=temperature)
    assert ours.tolist() == slow_knn(queries, features, labels, 7, neighbours, temperature).tolist()


def test_a_training_image_finds_itself_with_one_neighbour() -> None:
    features = functional.normalize(torch.randn(3000, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(3000)
    predicted = knn_predict(features, features, labels, num_classes=3000, neighbours=1, temperature=0.07)
    assert torch.equal(predicted, labels)


def test_no_queries_give_no_predictions() -> None:
    empty = knn_predict(torch.empty(0, 4), torch.eye(4), torch.arange(4), num_classes=4, neighbours=1, temperature=0.07)
    assert empty.shape == (0,)
    assert empty.dtype == torch.int64
