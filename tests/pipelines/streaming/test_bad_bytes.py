"""Bytes that went bad after indexing: the sample is named, or another stands in and every other bit stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.batch import MultiCropBatch
from pipelines.errors import PipelineError, SampleError, SampleWarning
from pipelines.loader import DaliLoader
from shards.tars.shardset import ShardSet

ON_GPU = [pytest.param(by, "cuda", id=f"{by}, cuda", marks=pytest.mark.gpu) for by in ("gpu", "cpu", "dali")]
PLACES = pytest.mark.parametrize(("crops_by", "device"), [("cpu", "cpu"), ("dali", "cpu"), *ON_GPU])
"""What makes the crops and for which device: nvJPEG must stop at the same pictures as the CPU's decoder."""


def on(crops_by: str, device: str) -> dict[str, Any]:
    """Keywords of a loader."""
    return {"crops_by": crops_by, "device": torch.device(device, 0) if device == "cuda" else torch.device(device)}


def epochs(loader: DaliLoader, count: int) -> list[MultiCropBatch]:
    return [batch for _ in range(count) for batch in loader]


@PLACES
def test_stop_names_shard_member_and_offset(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any, crops_by: str, device: str
) -> None:
    shards = fresh_set(24)
    order = [n for batch in make_loader(shards) for n in batch.sample_ids.tolist()]
    place = damage(shards, order[9])
    loader = make_loader(shards, **on(crops_by, device))
    batches = iter(loader)
    next(batches), next(batches)
    with pytest.raises(SampleError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{place}: cannot be decoded, found ")
    assert caught.value.fix is not None
    assert "--data.on-error skip" in caught.value.fix
    assert loader.step_in_epoch == 2


def test_the_state_of_a_stopped_loader_leads_to_the_same_error(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any
) -> None:
    shards = fresh_set(24)
    place = damage(shards, 5)
    loader = make_loader(shards)
    with pytest.raises(SampleError):
        epochs(loader, 1)
    resumed = make_loader(shards)
    resumed.load_state_dict(loader.state_dict())
    with pytest.raises(SampleError) as caught:
        next(iter(resumed))
    assert place in str(caught.value)


@pytest.mark.filterwarnings("ignore::pipelines.errors.SampleWarning")
@PLACES
def test_skip_changes_the_bad_place_and_not_one_other_bit(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any, crops_by: str, device: str
) -> None:
    """Over two epochs with a dropped batch at the end of each, against the undamaged set."""
    shards = fresh_set(29)
    expected = epochs(make_loader(shards, **on(crops_by, device)), 2)
    place = damage(shards, 11)
    loader = make_loader(shards, **on(crops_by, device), options={"on_error": "skip"})
    found = epochs(loader, 2)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        kept = theirs.sample_ids != 11
        assert len(ours.replaced) == int((~kept).sum())
        assert all(name.startswith(place) for name in ours.replaced)
        assert torch.equal(ours.sample_ids[kept], theirs.sample_ids[kept])
        assert set(ours.sample_ids[~kept].tolist()) <= set(theirs.sample_ids[kept].tolist())
        for mine, other in zip(ours.groups, theirs.groups, strict=True):
            assert torch.equal(mine[kept], other[kept])
    assert loader.num_replaced == sum(len(batch.replaced) for batch in found)
    assert loader.num_replaced in (1, 2)


@pytest.mark.filterwarnings("ignore::pipelines.errors.SampleWarning")
def test_a_resume_before_at_and_after_a_skipped_sample_has_the_same_bits(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any
) -> None:
    shards = fresh_set(24)
    damage(shards, 7)
    skip: Callable[[], DaliLoader] = lambda: make_loader(shards, options={"on_error": "skip"})  # noqa: E731
    expected = epochs(skip(), 2)
    for taken in (0, 3, 6):
        first, second = skip(), skip()
        for _, _ in zip(range(taken), (batch for _ in range(2) for batch in first), strict=False):
            pass
        second.load_state_dict(first.state_dict())
        rest = epochs(second, 2)[: len(expected) - taken]
        for ours, theirs in zip(rest, expected[taken:], strict=False):
            assert torch.equal(ours.groups[0], theirs.groups[0])
            assert torch.equal(ours.labels, theirs.labels)


def test_skip_warns_with_the_rank_and_the_sample(fresh_set: Any, damage: Callable[..., str], make_loader: Any) -> None:
    shards = fresh_set(24)
    place = damage(shards, 3)
    loader = make_loader(shards, options={"on_error": "skip"})
    with pytest.warns(SampleWarning, match="rank 0: ") as caught:
        epochs(loader, 1)
    assert place in str(caught[0].message)


def test_several_bad_samples_of_a_batch_are_all_replaced(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any
) -> None:
    shards = fresh_set(24)
    order = [n for batch in make_loader(shards) for n in batch.sample_ids.tolist()]
    for number in (*order[4:7], order[20]):
        damage(shards, number)
    loader = make_loader(shards, options={"on_error": "skip"})
    with pytest.warns(SampleWarning):
        found = epochs(loader, 1)
    assert found[1].sample_ids.tolist() == [order[7]] * 4
    assert [len(batch.replaced) for batch in found] == [0, 3, 0, 0, 0, 1]


def test_a_batch_of_bad_samples_stops_even_with_skip(
    fresh_set: Any, damage: Callable[..., str], make_loader: Any
) -> None:
    shards = fresh_set(24)
    for number in range(24):
        damage(shards, number)
    with pytest.raises(SampleError, match="and 3 more in this batch"):
        epochs(make_loader(shards, options={"on_error": "skip"}), 1)


def test_ranks_stay_in_step_when_one_skips(fresh_set: Any, damage: Callable[..., str], make_loader: Any) -> None:
    shards = fresh_set(29)
    damage(shards, 11)
    ranks = [make_loader(shards, rank=rank, world_size=2, options={"on_error": "skip"}) for rank in range(2)]
    with pytest.warns(SampleWarning):
        lengths = [[len(list(rank)) for _ in range(3)] for rank in ranks]
    assert lengths == [[3, 3, 3]] * 2


def unlink_tar(shards: ShardSet) -> str:
    shards.shards[1].tar.unlink()
    return str(shards.shards[1].tar)


def unlink_index(shards: ShardSet) -> str:
    shards.shards[1].idx.unlink()
    return str(shards.shards[1].idx)


def empty_index(shards: ShardSet) -> str:
    shards.shards[1].idx.write_text("")
    return f"{shards.shards[1].idx}:1"


def drop_label(shards: ShardSet) -> str:
    path = shards.shards[1].idx
    lines = path.read_text().splitlines()
    lines[2] = " ".join(lines[2].split()[:4])
    path.write_text("\n".join(lines) + "\n")
    return f"{path}:3"


def cut_tar(shards: ShardSet) -> str:
    path = shards.shards[1].tar
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return f"{path.with_suffix('.idx')}:"


@pytest.mark.parametrize("harm", [unlink_tar, unlink_index, empty_index, drop_label, cut_tar])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_files_that_changed_after_opening_are_named_in_one_line(
    fresh_set: Any, make_loader: Any, harm: Callable[[ShardSet], str], on_error: str
) -> None:
    shards = fresh_set(24)
    loader = make_loader(shards, options={"on_error": on_error})
    place = harm(shards)
    with pytest.raises(PipelineError) as caught:
        epochs(loader, 1)
    line = str(caught.value)
    assert line.startswith(place)
    assert "python -m shards check DIR" in line
    assert not any(word in line for word in ("\n", "Traceback", "Assert", "C++", "Critical"))
    assert Path(place.rsplit(":", 1)[0]).parent == shards.root
