"""Epochs counted in steps change the counting and nothing else: the batches are those of the passes, in their order."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from batches import bits, equal

from pipelines.errors import LoaderStateError
from pipelines.virtual import VirtualEpochs


def epochs_of(loader: Any, count: int) -> list[list[Any]]:
    return [list(loader) for _ in range(count)]


@pytest.mark.parametrize("steps", [1, 3, 7, 10])
def test_batches_are_those_of_the_passes_in_epochs_of_any_length(make_set: Any, make_loader: Any, steps: int) -> None:
    """29 samples in batches of 4 make passes of 7 steps and a batch that is dropped."""
    shards = make_set(29)
    expected = bits(make_loader(shards), 20)
    loader = VirtualEpochs(make_loader(shards), steps=steps)
    assert (loader.steps_per_epoch, loader.batch_size) == (steps, 4)
    found = []
    for epoch in range(20 // steps):
        assert (loader.epoch, loader.step_in_epoch) == (epoch, 0)
        found += [[*batch.groups, batch.labels, batch.sample_ids] for batch in loader]
    assert len(found) == 20 // steps * steps
    assert equal(found, expected[: len(found)])


def test_every_sample_comes_once_in_every_pass(make_set: Any, make_loader: Any) -> None:
    """Two ranks, 24 samples, passes of 3 steps of 4 images, epochs of 2 steps."""
    shards = make_set(24)
    loaders = [VirtualEpochs(make_loader(shards, rank=rank, world_size=2), steps=2) for rank in range(2)]
    streams = [[batch for epoch in epochs_of(loader, 6) for batch in epoch] for loader in loaders]
    for start in range(0, 12, 3):
        seen = [
            sample for stream in streams for batch in stream[start : start + 3] for sample in batch.sample_ids.tolist()
        ]
        assert sorted(seen) == list(range(24))


@pytest.mark.parametrize("taken", range(1, 16))
def test_a_state_after_any_step_continues_with_the_same_bits(make_set: Any, make_loader: Any, taken: int) -> None:
    """Inside an epoch, at its end, at the end of a pass, and where both end together (5 x 7)."""
    shards = make_set(29)
    expected = bits(make_loader(shards), 18)
    first, second = (VirtualEpochs(make_loader(shards), steps=5) for _ in range(2))
    bits(first, taken)
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    assert (second.epoch, second.step_in_epoch) == (first.epoch, first.step_in_epoch)
    assert equal(bits(second, 18 - taken), expected[taken:])


def test_an_epoch_that_starts_again_has_an_order_of_its_own(make_set: Any, make_loader: Any) -> None:
    shards = make_set(29)
    made = []
    for epoch in (0, 2, 2, 3):
        loader = VirtualEpochs(make_loader(shards), steps=5)
        loader.start_epoch(epoch)
        assert (loader.epoch, loader.step_in_epoch) == (epoch, 0)
        made.append(bits(loader, 5))
    assert equal(made[1], made[2])
    assert not equal(made[0], made[1])
    assert not equal(made[2], made[3])


def test_a_state_of_other_pictures_is_refused(make_set: Any, make_loader: Any) -> None:
    ours, theirs = (VirtualEpochs(make_loader(make_set(number)), steps=2) for number in (29, 30))
    with pytest.raises(LoaderStateError):
        ours.load_state_dict(theirs.state_dict())
    with pytest.raises(LoaderStateError):
        ours.refuse_other_data(theirs.state_dict())
    ours.refuse_other_data(ours.state_dict())


def test_closing_closes_the_passes() -> None:
    class Passes:
        batch_size, closed = 4, False

        def __iter__(self) -> Iterator[Any]:
            yield torch.zeros(1)

        def close(self) -> None:
            self.closed = True

    passes = Passes()
    VirtualEpochs(passes, steps=3).close()  # type: ignore[arg-type]
    assert passes.closed
