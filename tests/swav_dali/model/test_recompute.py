"""Blocks that are computed twice: the same bits, less kept, and BatchNorm has seen each crop once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stepping import crops, one_step
from torch import Tensor, nn

from swav_dali.config.sections import ModelConfig
from swav_dali.errors import ConfigError
from swav_dali.method.larc import Larc
from swav_dali.model.net import SwavNet
from swav_dali.model.recompute import recompute_blocks
from swav_dali.model.trunks import make_trunk
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.world import World


def kept(trunk: nn.Module, images: Tensor) -> tuple[Tensor, int]:
    """Features, and bytes that lie in memory from forward to backward."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = trunk(images)
    return features, sum(seen.values())


@pytest.mark.parametrize(
    ("arch", "blocks"),
    [("tiny", 4), ("resnet50", 16), ("torchvision:resnet34", 16), ("timm:vit_tiny_patch16_224", 12)],
)
def test_gradients_and_statistics_have_the_same_bits_and_little_is_kept(arch: str, blocks: int) -> None:
    torch.manual_seed(0)
    plain = make_trunk(arch).module
    ours = copy.deepcopy(plain)
    assert recompute_blocks(ours) == blocks
    images = torch.randn(2, 3, 64, 64)
    expected, much = kept(plain, images)
    features, little = kept(ours, images)
    assert torch.equal(features, expected)
    assert little < 0.25 * much
    expected.square().sum().backward()
    features.square().sum().backward()
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        assert one.grad is not None
        assert torch.equal(one.grad, other.grad)
    for (name, one), other in zip(ours.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other), name
    norms = [module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None} <= {1}


def steps(*, recompute: bool, world: World | None = None, **changes: Any) -> list[Tensor]:
    """Weights and buffers after three steps."""
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
    if recompute:
        recompute_blocks(model.trunk)
    net = model if world is None else wrap(model, world, sync_bn="off")
    optimizer = Larc(model.parameters(), lr=0.0)
    for number in range(3):
        groups = crops(number + (100 * world.rank if world else 0))
        one_step(net, groups, model=model, optimizer=optimizer, **changes)
    return [tensor.detach().clone() for tensor in [*model.parameters(), *model.buffers()]]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("changes", [{}, {"micro_batches": 2}])
def test_steps_have_the_same_bits(changes: dict[str, Any]) -> None:
    assert same(steps(recompute=True, **changes), steps(recompute=False, **changes))


def same_on_ranks(world: World) -> bool:
    return same(steps(recompute=True, world=world), steps(recompute=False, world=world))


def test_steps_of_several_ranks_have_the_same_bits(run_ranks: Callable[..., list[Any]]) -> None:
    assert run_ranks(same_on_ranks, 2) == [True, True]


def test_evaluation_is_left_alone() -> None:
    trunk = make_trunk("tiny").module
    images = torch.randn(2, 3, 32, 32)
    trunk(images)
    trunk.eval()
    expected = trunk(images)
    recompute_blocks(trunk)
    features = trunk(images)
    features.sum().backward()
    assert torch.equal(features, expected)
    assert torch.equal(trunk(images), expected)


def test_a_trunk_without_known_blocks_and_a_compiled_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--model\.recompute: the blocks of this trunk are not known, found VGG"):
        recompute_blocks(make_trunk("torchvision:vgg11").module)
    with pytest.raises(ConfigError, match=r"--model\.recompute: either one or the other, found --model\.compile too"):
        ModelConfig(compile=True, recompute=True)
