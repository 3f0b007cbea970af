"""Weighted k-nearest-neighbour classification of unit features: the figure that needs no training.

Votes weigh exp(cosine / temperature) (Wu et al. 2018, arXiv 1805.01978, section 3.4), the protocol the SwAV
paper's own kNN figure uses. With several ranks the voters stay where they were computed: queries travel in chunks,
every rank finds its own nearest, and the best of all are merged, so that no rank ever holds the whole bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.world import World

_SIMILARITIES = 2**27
"""Similarities held at once, 512 MiB of float32: a chunk has as many queries as that leaves room for."""
_FEWEST = 64


def knn_accuracies(
    queries: Tensor,
    truth: Tensor,
    voters: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    neighbours: Sequence[int],
    temperature: float,
    world: World,
) -> list[float]:
    """Top-1 accuracy over the queries of all ranks, in [0, 1], for every number of neighbours; collective.

    Args:
        queries: float (this rank's queries, dim), unit rows.
        truth: int64 (this rank's queries,).
        voters: float (this rank's voters, dim), unit rows; a rank may have none.
        labels: int64 (this rank's voters,) in [0, num_classes).
        num_classes: number of classes.
        neighbours: voters per query; fewer where there are fewer in all.
        temperature: a smaller value lets the nearest decide.
        world: the ranks.
    """
    counts = torch.zeros(len(neighbours) + 1, dtype=torch.int64, device=queries.device)
    counts[-1] = len(truth)
    first = 0
    for cosines, found in _nearest(queries, voters, labels, max(neighbours), world):
        expected = truth[first : first + len(cosines)]
        first += len(cosines)
        for place, k in enumerate(neighbours):
            counts[place] += (vote(cosines[:, :k], found[:, :k], num_classes, temperature) == expected).sum()
    *hits, total = sum_over_ranks(counts).tolist()
    return [hit / total for hit in hits]


def vote(cosines: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Class of each query, int64 (queries,), by its neighbours' cosines and labels, both (queries, neighbours).

    A neighbour that does not exist has the cosine -inf and no weight.
    """
    weight = ((cosines - 1) / temperature).exp()  # a cosine is at most 1: no overflow
    return weight.new_zeros(len(weight), num_classes).scatter_add_(1, labels, weight).argmax(1)


def _nearest(
    queries: Tensor, voters: Tensor, labels: Tensor, neighbours: int, world: World
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosines and labels of the nearest voters of all ranks, (chunk, neighbours) each, nearest first, in turn."""
    size = max(_FEWEST, _SIMILARITIES // max(_most(len(voters), queries, world), 1))
    for rank, count in enumerate(_counts(len(queries), queries, world)):
        for first in range(0, count, size):
            chunk = _from(rank, queries, first, min(size, count - first), world)
            merged = _merge(*_local(chunk, voters, labels, neighbours), neighbours, world)
            if rank == world.rank:
                yield merged


def _local(chunk: Tensor, voters: Tensor, labels: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """This rank's nearest, filled up with cosines of -inf to `neighbours` columns, so that ranks can be joined."""
    cosines = chunk.new_full((len(chunk), neighbours), -torch.inf)
    found = labels.new_zeros(len(chunk), neighbours)
    k = min(neighbours, len(voters))
    cosines[:, :k], index = (chunk @ voters.T).topk(k, dim=1)
    found[:, :k] = labels[index]
    return cosines, found


def _merge(cosines: Tensor, found: Tensor, neighbours: int, world: World) -> tuple[Tensor, Tensor]:
    if world.size == 1:
        return cosines, found
    all_cosines, all_found = (_gather_columns(part, world) for part in (cosines, found))
    best, place = all_cosines.topk(neighbours, dim=1)
    return best, all_found.gather(1, place)


def _gather_columns(part: Tensor, world: World) -> Tensor:
    parts = [torch.empty_like(part) for _ in range(world.size)]
    dist.all_gather(parts, part)
    return torch.cat(parts, dim=1)


def _from(rank: int, queries: Tensor, first: int, count: int, world: World) -> Tensor:
    chunk = (
        queries[first : first + count].contiguous()
        if rank == world.rank
        else queries.new_empty(count, queries.shape[1])
    )
    if world.size > 1:
        dist.broadcast(chunk, src=rank)
    return chunk


def _counts(count: int, like: Tensor, world: World) -> list[int]:
    """Every rank's count, on every rank."""
    counts = torch.zeros(world.size, dtype=torch.int64, device=like.device)
    counts[world.rank] = count
    return [int(number) for number in sum_over_ranks(counts).tolist()]


def _most(count: int, like: Tensor, world: World) -> int:
    return max(_counts(count, like, world))
