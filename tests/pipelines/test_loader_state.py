"""A saved position continues with the same bits, wherever it was taken, and is refused where it does not belong."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from batches import bits, equal

from pipelines.config import Augmentation, CropGroup
from pipelines.errors import LoaderStateError


@pytest.mark.parametrize("crops_by", ["cpu", "dali"])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_a_state_after_any_batch_continues_over_the_epochs_end(
    make_set: Any, make_loader: Any, crops_by: str, rank: int, world_size: int
) -> None:
    """29 samples in batches of 4 leave a padded batch to be dropped at the end of every epoch."""
    chosen = {"crops_by": crops_by, "rank": rank, "world_size": world_size}
    shards = make_set(29)
    straight = make_loader(shards, **chosen)
    per_epoch = straight.steps_per_epoch
    expected = bits(straight, 2 * per_epoch + 2)
    for taken in (1, per_epoch - 1, per_epoch, per_epoch + 1):
        first, second = make_loader(shards, **chosen), make_loader(shards, **chosen)
        bits(first, taken)
        state = pickle.loads(pickle.dumps(first.state_dict()))
        second.load_state_dict(state)
        assert equal(bits(second, len(expected) - taken), expected[taken:]), taken


@pytest.mark.parametrize("prefetch", [1, 2, 3])
def test_what_was_prepared_ahead_is_not_part_of_the_state(make_set: Any, make_loader: Any, prefetch: int) -> None:
    shards = make_set(29)
    expected = bits(make_loader(shards), 6)
    first, second = make_loader(shards, options={"prefetch": prefetch}), make_loader(shards)
    bits(first, 3)
    second.load_state_dict(first.state_dict())
    assert equal(bits(second, 3), expected[3:])


def test_the_state_before_and_after_the_exhausted_epoch_leads_to_the_same_next_batch(
    make_set: Any, make_loader: Any
) -> None:
    shards = make_set(29)
    loader = make_loader(shards)
    batches = iter(loader)
    for _ in range(loader.steps_per_epoch):
        next(batches)
    before = loader.state_dict()
    assert next(batches, None) is None
    after = loader.state_dict()
    assert (before["epoch"], before["step_in_epoch"]) == (0, loader.steps_per_epoch)
    assert (after["epoch"], after["step_in_epoch"]) == (1, 0)
    expected = bits(loader, 2)
    for state in (before, after):
        resumed = make_loader(shards)
        resumed.load_state_dict(state)
        assert equal(bits(resumed, 2), expected)
        assert resumed.epoch == 1


def test_a_state_before_the_first_batch_and_one_taken_twice_are_states_too(make_set: Any, make_loader: Any) -> None:
    shards = make_set(29)
    first, second = make_loader(shards), make_loader(shards)
    second.load_state_dict(first.state_dict())
    assert equal(bits(second, 2), bits(first, 2))
    first.state_dict()
    third = make_loader(shards)
    third.load_state_dict(first.state_dict())
    assert equal(bits(third, 3), bits(second, 3))


def test_a_state_after_start_epoch_remembers_where_the_stream_began(make_set: Any, make_loader: Any) -> None:
    shards = make_set(29)
    first, second = make_loader(shards), make_loader(shards)
    first.start_epoch(4)
    bits(first, 2)
    second.load_state_dict(first.state_dict())
    second.close()
    assert second.epoch == 4
    assert equal(bits(second, 8), bits(first, 8))


CHANGES = {
    "world_size": {"world_size": 2},
    "rank": {"rank": 1, "world_size": 2},
    "batch_size": {"batch_size": 5},
    "seed": {"seed": 6},
    "augment": {"augment": Augmentation(flip=0.25)},
    "crops_by": {"crops_by": "dali"},
    "options": {"options": {"shuffle_pool": 9}},
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_state_of_another_pipeline_is_refused_with_the_key_that_differs(
    make_set: Any, make_loader: Any, key: str
) -> None:
    shards = make_set(29)
    state = make_loader(shards).state_dict()
    with pytest.raises(LoaderStateError, match=f"(found |; ){key}[. ]"):
        make_loader(shards, **CHANGES[key]).load_state_dict(state)


def test_other_shards_crops_and_dali_are_refused_by_name(make_set: Any, make_loader: Any) -> None:
    state = make_loader(make_set(29)).state_dict()
    with pytest.raises(LoaderStateError, match="found shards "):
        make_loader(make_set(24)).load_state_dict(state)
    fewer = make_loader(make_set(29), crops=(CropGroup(num=2, size=24, min_scale=0.3, max_scale=1.0),))
    with pytest.raises(LoaderStateError, match="found crops "):
        fewer.load_state_dict(state)
    old = {**state, "fingerprint": {**state["fingerprint"], "dali": "2.0.0", "device": "gpu"}}
    with pytest.raises(LoaderStateError, match=r"dali 2\.0\.0 -> .*; device gpu -> cpu"):
        make_loader(make_set(29)).load_state_dict(old)


def test_a_state_saved_when_quality_and_device_said_what_made_the_crops_still_fits(
    make_set: Any, make_loader: Any
) -> None:
    for quality, crops_by in (("exact", "cpu"), ("fast", "dali")):
        first, second = (make_loader(make_set(29), crops_by=crops_by) for _ in range(2))
        expected = bits(make_loader(make_set(29), crops_by=crops_by), 4)[2:]
        bits(first, 2)
        state = first.state_dict()
        old = {key: value for key, value in state["fingerprint"].items() if key != "crops_by"}
        second.load_state_dict({**state, "fingerprint": {**old, "quality": quality}})
        assert equal(bits(second, 2), expected)
    with pytest.raises(LoaderStateError, match="crops_by cpu -> dali"):
        second.load_state_dict({**state, "fingerprint": {**old, "quality": "exact"}})


def test_threads_prefetch_and_mapping_may_change_between_runs(make_set: Any, make_loader: Any) -> None:
    shards = make_set(29)
    first = make_loader(shards)
    expected = bits(make_loader(shards), 4)[2:]
    bits(first, 2)
    second = make_loader(shards, options={"threads": 2, "prefetch": 3, "reader_prefetch": 2, "use_mmap": False})
    second.load_state_dict(first.state_dict())
    assert equal(bits(second, 2), expected)
