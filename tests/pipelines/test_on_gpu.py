"""What only a GPU can show: the same batches as the CPU within the JPEG decoders' difference, and exact resume."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipelines.batch import MultiCropBatch
from pipelines.config import Augmentation

pytestmark = pytest.mark.gpu

LEVELS = Augmentation(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
ON_CPU = {"decode_on": "cpu"}


def batches(loader: Any, count: int) -> list[MultiCropBatch]:
    found = []
    for batch in loader:
        found.append(batch)
        if len(found) == count:
            break
    return found


def apart(ours: MultiCropBatch, theirs: MultiCropBatch) -> list[torch.Tensor]:
    return [(one.cpu() - other.cpu()).abs() for one, other in zip(ours.groups, theirs.groups, strict=True)]


@pytest.mark.parametrize("options", [ON_CPU, {}])
def test_exact_crops_are_those_of_the_cpu(make_set: Any, make_loader: Any, options: dict[str, Any]) -> None:
    """Decoded on the CPU, to the bit; decoded on the GPU, its inverse DCT and the colours after it differ."""
    cuda = torch.device("cuda", 0)
    on_gpu = batches(make_loader(make_set(29), device=cuda, crops_by="gpu", augment=LEVELS, options=options), 4)
    on_cpu = batches(make_loader(make_set(29), augment=LEVELS), 4)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert torch.equal(ours.sample_ids, theirs.sample_ids)
        assert torch.equal(ours.labels, theirs.labels)
        assert all(group.is_cuda for group in ours.groups)
        assert all(group.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) for group in ours.groups)
        assert max(each.mean().item() for each in apart(ours, theirs)) <= (0 if options == ON_CPU else 1.5)


@pytest.mark.parametrize("crops_by", ["gpu", "cpu", "dali"])
@pytest.mark.parametrize("taken", [1, 4, 7, 8])
def test_a_state_continues_with_the_same_bits(make_set: Any, make_loader: Any, crops_by: str, taken: int) -> None:
    chosen = {"device": torch.device("cuda", 0), "crops_by": crops_by}
    straight, first, second = (make_loader(make_set(29), **chosen) for _ in range(3))
    expected = [*batches(straight, 7), *batches(straight, 4)]
    done = 0
    while done < taken:
        done += len(batches(first, taken - done))
    second.load_state_dict(first.state_dict())
    ours = batches(second, 2) or batches(second, 2)
    for one, other in zip(ours, expected[taken:], strict=False):
        assert torch.equal(one.sample_ids, other.sample_ids)
        assert all(torch.equal(a, b) for a, b in zip(one.groups, other.groups, strict=True))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_sixteen_bit_batches_are_the_rounded_ones(make_set: Any, make_loader: Any, precision: str) -> None:
    cuda = torch.device("cuda", 0)
    (single,) = batches(make_loader(make_set(29), device=cuda), 1)
    (half,) = batches(make_loader(make_set(29), device=cuda, crops_by="gpu", options={"precision": precision}), 1)
    for ours, theirs in zip(half.groups, single.groups, strict=True):
        assert ours.dtype == getattr(torch, precision)
        torch.testing.assert_close(ours.float(), theirs, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("crops_by", ["gpu", "cpu", "dali"])
def test_threads_and_prefetch_do_not_change_a_bit(make_set: Any, make_loader: Any, crops_by: str) -> None:
    chosen = {"device": torch.device("cuda", 0), "crops_by": crops_by}
    expected = batches(make_loader(make_set(29), **chosen), 7)
    for options in ({"threads": 4}, {"threads": 2, "prefetch": 3}):
        for one, other in zip(batches(make_loader(make_set(29), **chosen, options=options), 7), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one.groups, other.groups, strict=True))
