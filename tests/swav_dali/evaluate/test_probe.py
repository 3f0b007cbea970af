"""The probe against a classification anyone can do by hand; floors travel only where they hold."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from pipelines.batch import ImageBatch
from swav_dali.config.sections import KnnConfig
from swav_dali.evaluate.probe import KnnProbe, extract, gather_rows
from swav_dali.ranks.ddp import share_buffers
from swav_dali.ranks.world import World

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def pictures(count: int) -> Iterable[ImageBatch]:
    """Batches of 4 whose class, 0 or 1, is the channel that is lit."""
    for first in range(0, count, 4):
        ids = torch.arange(first, min(first + 4, count))
        images = torch.zeros(len(ids), 3, 2, 2)
        images[torch.arange(len(ids)), ids % 2] = 1.0
        yield ImageBatch(images=images, labels=ids % 2, sample_ids=ids)


def probe(key: str = "") -> KnnProbe:
    return KnnProbe(
        lambda _resize, _size: pictures(10),
        lambda _resize, _size: pictures(6),
        num_classes=2,
        config=KnnConfig(neighbours=3, resize=2, size=2),
        world=ALONE,
        key=key,
    )


def test_features_that_tell_the_classes_apart_score_one_and_blind_ones_the_majority() -> None:
    assert probe().measure(lambda images: images.mean((2, 3))) == 1.0
    assert probe().measure(lambda images: torch.ones(len(images), 2)) == 0.5


@pytest.mark.parametrize("most", [1, 4, 5, 9, 10, 100])
def test_extraction_stops_after_the_images_that_are_wanted(most: int) -> None:
    rows, labels = extract(pictures(10), lambda images: images.flatten(1), most)
    assert len(rows) == len(labels) == min(most, 10)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


def test_saved_floors_are_taken_over_only_under_the_same_key() -> None:
    first = probe("a")
    first.measure_floors(lambda images: images.flatten(1))
    assert set(first.floors) == {"knn_untrained", "knn_pixels"}
    same, other = probe("a"), probe("b")
    same.load_state_dict(first.state_dict())
    other.load_state_dict(first.state_dict())
    assert same.floors == first.floors
    assert other.floors == {}


def test_a_trained_network_is_not_called_untrained() -> None:
    late = probe()
    late.measure_floors(None)
    assert set(late.floors) == {"knn_pixels"}


def _gather_uneven(world: World) -> list[int]:
    rows = torch.full((world.rank + 1, 2), float(world.rank))
    return [int(value) for value in gather_rows(rows, world)[:, 0]]


def _share(world: World) -> float:
    norm = torch.nn.BatchNorm1d(3)
    norm.running_mean.fill_(world.rank + 1.0)
    share_buffers(norm)
    return float(norm.running_mean[0])


def test_rows_of_ranks_of_different_lengths_are_gathered_in_order(run_ranks) -> None:
    assert run_ranks(_gather_uneven, 3) == [[0, 1, 1, 2, 2, 2]] * 3


def test_every_rank_probes_with_rank_zeros_statistics(run_ranks) -> None:
    assert run_ranks(_share, 2) == [1.0, 1.0]
