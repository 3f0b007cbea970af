"""The queue of embeddings: order, fill count, length, saving, and dealing out to another number of ranks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swav_dali.errors import CheckpointError, ConfigError
from swav_dali.method.queue import FeatureQueue, merge_queue_states
from swav_dali.ranks.world import World

CPU = torch.device("cpu")


def made_queue(length: int = 12, batch_size: int = 4, world_size: int = 1, num_assign: int = 2) -> FeatureQueue:
    return FeatureQueue(
        length=length,
        num_assign=num_assign,
        embedding_dim=1,
        batch_size=batch_size,
        world_size=world_size,
        device=CPU,
    )


def made_batch(step: int, batch_size: int = 4, rank: int = 0) -> Tensor:
    """Rows that tell where they come from: crop 0 holds step.rank+row, crop 1 the same and 1000."""
    rows = 100.0 * (step + 1) + 10 * rank + torch.arange(batch_size)
    return torch.stack([rows, rows + 1000]).unsqueeze(2)


def world(rank: int, size: int) -> World:
    return World(rank=rank, size=size, local_rank=rank, device=CPU)


def test_newest_batch_is_in_front_and_the_oldest_falls_out() -> None:
    queue = made_queue()
    for step in range(5):
        queue.push(made_batch(step))
    assert torch.equal(queue.embeddings, torch.cat([made_batch(4), made_batch(3), made_batch(2)], dim=1))


def test_it_is_full_after_as_many_steps_as_it_has_batches_and_zero_until_then() -> None:
    queue = made_queue()
    for step in range(3):
        assert not queue.is_full
        assert not queue.embeddings[:, 4 * step :].any()
        queue.push(made_batch(step))
    assert queue.is_full


def test_a_queue_of_one_batch_holds_the_last_one() -> None:
    queue = made_queue(length=4)
    for step in range(2):
        queue.push(made_batch(step))
    assert queue.is_full
    assert torch.equal(queue.embeddings, made_batch(1))


@pytest.mark.parametrize(
    ("length", "batch_size", "world_size", "rows"), [(3840, 64, 4, 960), (15, 4, 1, 12), (23, 4, 2, 8), (8, 4, 2, 4)]
)
def test_length_is_over_all_ranks_and_cut_to_whole_global_batches(
    length: int, batch_size: int, world_size: int, rows: int
) -> None:
    assert made_queue(length, batch_size, world_size).embeddings.shape == (2, rows, 1)


def test_a_queue_shorter_than_a_global_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--swav.queue-length: .* found 7, expected 0 \(off\) or at least 8"):
        made_queue(length=7, batch_size=4, world_size=2)


def test_pushing_leaves_a_saved_state_alone_and_loading_restores_every_bit() -> None:
    queue = made_queue()
    queue.push(made_batch(0))
    state = queue.state_dict()
    queue.push(made_batch(1))
    other = made_queue()
    other.load_state_dict(state)
    assert other.num_filled == 4
    assert torch.equal(other.embeddings[:, :4], made_batch(0))
    other.push(made_batch(1))
    assert torch.equal(other.embeddings, queue.embeddings)


def test_a_loaded_queue_has_its_rows_where_they_were_so_that_sums_have_the_same_bits() -> None:
    queue = made_queue()
    for step in range(5):
        queue.push(made_batch(step))
    other = made_queue()
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.rows, queue.rows)
    queue.push(made_batch(5))
    other.push(made_batch(5))
    assert torch.equal(other.rows, queue.rows)


def test_a_state_of_a_version_without_ring_loads_newest_first() -> None:
    rows = torch.cat([made_batch(2), made_batch(1), made_batch(0)], dim=1)
    queue = made_queue()
    queue.load_state_dict({"embeddings": rows, "num_filled": 12})
    queue.push(made_batch(3))
    assert torch.equal(queue.embeddings, torch.cat([made_batch(3), rows[:, :8]], dim=1))


def test_a_push_writes_over_the_oldest_batch_and_moves_no_other_row() -> None:
    queue = made_queue()
    for step in range(4):
        queue.push(made_batch(step))
    before, storage = queue.rows.clone(), queue.rows.data_ptr()
    queue.push(made_batch(4))
    changed = (queue.rows != before).any(dim=2).any(dim=0)
    assert changed.sum() == 4
    assert torch.equal(before[:, changed], made_batch(1))
    assert queue.rows.data_ptr() == storage


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_push_called_off_on_the_device_changes_no_row_and_not_their_order(steps: int) -> None:
    queue = made_queue()
    for step in range(steps):
        queue.push(made_batch(step), unless=torch.tensor(False))
    before = queue.embeddings
    queue.push(torch.full((2, 4, 1), torch.nan), unless=torch.tensor(True))
    assert torch.equal(queue.embeddings, before)
    queue.push(made_batch(9))
    assert torch.equal(queue.embeddings, torch.cat([made_batch(9), before[:, :-4]], dim=1))


def test_a_longer_state_gives_its_newest_rows_and_a_shorter_one_leaves_room() -> None:
    long, short = made_queue(12), made_queue(8)
    for step in range(3):
        long.push(made_batch(step))
    short.load_state_dict(long.state_dict())
    assert short.is_full
    assert torch.equal(short.embeddings, long.embeddings[:, :8])
    long = made_queue(12)
    long.load_state_dict(short.state_dict())
    assert long.num_filled == 8
    assert not long.is_full


def test_a_state_for_other_crops_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"found \(1, 12, 1\), expected \(2, 12, 1\)"):
        made_queue().load_state_dict(made_queue(num_assign=1).state_dict())


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("old_size", "new_size"), [(1, 2), (2, 1), (2, 4), (4, 2), (3, 2), (2, 2)])
def test_another_number_of_ranks_shares_the_newest_rows_evenly(old_size: int, new_size: int, steps: int) -> None:
    states = []
    for rank in range(old_size):
        queue = made_queue(length=12 * old_size, world_size=old_size)
        for step in range(steps):
            queue.push(made_batch(step, rank=rank))
        states.append(queue.state_dict())
    shares = [merge_queue_states(states, world(rank, new_size)) for rank in range(new_size)]
    saved = torch.cat([state["embeddings"][:, : state["num_filled"]] for state in states], dim=1)
    dealt = torch.cat([share["embeddings"] for share in shares], dim=1)
    lost = saved.shape[1] % new_size
    assert len({share["num_filled"] for share in shares}) == 1
    assert dealt.shape[1] == saved.shape[1] - lost
    assert set(dealt.flatten().tolist()) <= set(saved.flatten().tolist())
    assert dealt.unique().numel() == dealt.numel()
    for share in shares:
        steps_of_rows = share["embeddings"][0, :, 0] // 100
        assert (steps_of_rows.diff() <= 0).all(), "newest first"
        assert torch.equal(share["embeddings"][1], share["embeddings"][0] + 1000), "crops stay side by side"


def test_a_merged_state_fills_a_queue_of_the_new_size() -> None:
    states = []
    for rank in range(2):
        queue = made_queue(length=24, world_size=2)
        for step in range(3):
            queue.push(made_batch(step, rank=rank))
        states.append(queue.state_dict())
    one = made_queue(length=24)
    one.load_state_dict(merge_queue_states(states, world(0, 1)))
    assert one.is_full
    assert set(one.embeddings[0, :8, 0].tolist()) == {300, 301, 302, 303, 310, 311, 312, 313}
