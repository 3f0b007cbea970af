"""The synthetic loader keeps the contract of the real one."""

from __future__ import annotations

import pytest
import torch

from pipelines.config import CropGroup
from pipelines.errors import LoaderStateError, PipelineError
from pipelines.synthetic import SyntheticLoader

CROPS = (
    CropGroup(num=2, size=16, min_scale=0.3, max_scale=1.0),
    CropGroup(num=3, size=8, min_scale=0.1, max_scale=0.3),
)


def loader(*, num_images: int = 20, rank: int = 0, world_size: int = 2, seed: int = 1) -> SyntheticLoader:
    return SyntheticLoader(
        crops=CROPS,
        batch_size=3,
        num_images=num_images,
        rank=rank,
        world_size=world_size,
        seed=seed,
        device=torch.device("cpu"),
    )


def test_shapes_and_memory_order_are_the_real_loaders() -> None:
    batch = next(iter(loader()))
    assert [tuple(group.shape) for group in batch.groups] == [(3, 2, 3, 16, 16), (3, 3, 3, 8, 8)]
    assert all(group.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) for group in batch.groups)
    assert batch.labels.tolist() == [-1, -1, -1]
    assert batch.sample_ids.dtype == batch.labels.dtype == torch.int64


def test_epochs_have_the_length_of_real_ones_and_advance() -> None:
    made = loader()
    assert made.steps_per_epoch == 3
    assert len(list(made)) == 3
    assert (made.epoch, made.step_in_epoch) == (1, 0)
    made.start_epoch(5)
    assert (made.epoch, len(list(made))) == (5, 3)


def test_ranks_and_seeds_have_their_own_noise() -> None:
    firsts = [next(iter(made)).groups[0] for made in (loader(), loader(rank=1), loader(seed=2))]
    assert torch.equal(firsts[0], next(iter(loader())).groups[0])
    assert not torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[0], firsts[2])


def test_a_state_continues_in_the_middle_and_belongs_to_one_layout() -> None:
    made, other = loader(), loader()
    batches = iter(made)
    next(batches)
    other.load_state_dict(made.state_dict())
    assert [b.sample_ids.tolist() for b in other] == [b.sample_ids.tolist() for b in batches]
    with pytest.raises(LoaderStateError, match="world_size"):
        loader(world_size=1).load_state_dict(made.state_dict())


def test_fewer_images_than_a_global_batch_are_refused() -> None:
    with pytest.raises(PipelineError, match="smaller than one global batch"):
        loader(num_images=5)
