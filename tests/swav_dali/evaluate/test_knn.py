"""kNN against a float64 loop that follows the formula word by word, on one rank and on several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from swav_dali.evaluate import knn
from swav_dali.evaluate.knn import knn_accuracies
from swav_dali.ranks.world import World

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def slow_knn(
    queries: Tensor, features: Tensor, labels: Tensor, num_classes: int, neighbours: int, temperature: float
) -> Tensor:
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


def unit_rows(count: int, dim: int, seed: int) -> Tensor:
    return functional.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def accuracy(queries: Tensor, truth: Tensor, features: Tensor, labels: Tensor, **options: Any) -> list[float]:
    chosen = {"num_classes": 7, "neighbours": (20,), "temperature": 0.07, "world": ALONE, **options}
    return knn_accuracies(queries, truth, features, labels, **chosen)


@pytest.mark.parametrize("neighbours", [1, 5, 20, 500])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_equal_the_formula(neighbours: int, temperature: float) -> None:
    features, queries = unit_rows(120, 16, neighbours), unit_rows(40, 16, neighbours + 1)
    labels = torch.arange(120) * 5 % 7
    truth = slow_knn(queries, features, labels, 7, neighbours, temperature)
    options = {"neighbours": (neighbours,), "temperature": temperature}
    assert accuracy(queries, truth, features, labels, **options) == [1.0]
    truth[:10] = (truth[:10] + 1) % 7
    assert accuracy(queries, truth, features, labels, **options) == [0.75]


def test_several_numbers_of_neighbours_give_what_each_gives_alone() -> None:
    features, queries, labels = unit_rows(300, 8, 0), unit_rows(90, 8, 1), torch.arange(300) % 7
    truth = torch.arange(90) % 7
    several = (10, 3, 20, 100)
    alone = [accuracy(queries, truth, features, labels, neighbours=(k,))[0] for k in several]
    assert accuracy(queries, truth, features, labels, neighbours=several) == alone
    assert len(set(alone)) > 1


def test_a_training_image_finds_itself_with_one_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_SIMILARITIES", 3000 * 100)  # thirty chunks
    features, labels = unit_rows(3000, 8, 0), torch.arange(3000)
    assert accuracy(features, labels, features, labels, num_classes=3000, neighbours=(1,)) == [1.0]


def on_one_of_several(world: World, sizes: Sequence[tuple[int, int]]) -> list[float]:
    knn._SIMILARITIES, knn._FEWEST = 40, 2  # many small chunks
    own = [sum(counts[:part]) for counts in zip(*sizes, strict=True) for part in (world.rank, world.rank + 1)]
    queries, voters = slice(own[0], own[1]), slice(own[2], own[3])
    labels, truth = torch.arange(500) % 7, torch.arange(200) % 7
    return accuracy(
        unit_rows(200, 4, 1)[queries],
        truth[queries],
        unit_rows(500, 4, 0)[voters],
        labels[voters],
        neighbours=(1, 10, 30),
        world=world,
    )


@pytest.mark.parametrize("sizes", [((21, 60), (0, 1)), ((13, 5), (8, 0), (30, 61))])
def test_ranks_with_uneven_parts_of_the_bank_find_what_one_finds(
    run_ranks: Callable[..., list[Any]], sizes: Sequence[tuple[int, int]]
) -> None:
    together = run_ranks(on_one_of_several, len(sizes), sizes)
    queries, voters = (sum(counts) for counts in zip(*sizes, strict=True))
    truth, labels = torch.arange(200)[:queries] % 7, torch.arange(500)[:voters] % 7
    features = unit_rows(500, 4, 0)[:voters]
    alone = accuracy(unit_rows(200, 4, 1)[:queries], truth, features, labels, neighbours=(1, 10, 30))
    assert together == [alone] * len(sizes)
