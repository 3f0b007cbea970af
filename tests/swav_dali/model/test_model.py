"""SwavNet: the published names, the order of its outputs, what BatchNorm sees, and precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from swav_dali.model.net import SwavNet

HEAD = [f"projection_head.{i}.{kind}" for i in (0, 3) for kind in ("weight", "bias")]
HEAD_NORM = [f"projection_head.1.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")]


def small_net(hidden_dim: int = 32) -> SwavNet:
    torch.manual_seed(0)
    return SwavNet("tiny", embedding_dim=16, hidden_dim=hidden_dim, num_prototypes=10)


def made_groups(dtype: torch.dtype = torch.float32, batch: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, n, 3, s, s, generator=generator).to(dtype) for n, s in ((2, 32), (3, 16))]


def test_resnet50_has_the_published_328_entries_and_28_354_752_parameters() -> None:
    net = SwavNet("resnet50")
    keys = list(net.state_dict())
    assert len(keys) == 328
    expected = {*HEAD, *HEAD_NORM, "projection_head.1.num_batches_tracked", "prototypes.weight"}
    assert {key for key in keys if key.startswith("pro")} == expected
    assert net.prototypes.weight.shape == (3000, 128)
    assert sum(p.numel() for p in net.parameters()) == 28_354_752


def test_a_linear_head_has_no_hidden_layer() -> None:
    keys = {key for key in small_net(hidden_dim=0).state_dict() if key.startswith("projection_head")}
    assert keys == {"projection_head.weight", "projection_head.bias"}


def test_outputs_are_crop_by_crop_unit_rows_and_their_cosines() -> None:
    net, groups = small_net().double(), made_groups(torch.float64)
    net.normalize_prototypes_()
    embeddings, scores = net(groups)
    assert embeddings.shape == (5, 4, 16)
    assert scores.shape == (5, 4, 10)
    torch.testing.assert_close(embeddings.norm(dim=2), torch.ones(5, 4, dtype=torch.float64))
    torch.testing.assert_close(scores, embeddings @ net.prototypes.weight.T)
    assert scores.abs().max() <= 1


def test_each_crop_lands_in_its_own_row() -> None:
    net, groups = small_net().double().eval(), made_groups(torch.float64)
    embeddings, _ = net(groups)
    crops = [(group, n) for group in groups for n in range(group.shape[1])]
    for row, (group, n) in enumerate(crops):
        alone = functional.normalize(net.projection_head(net.trunk(group[:, n])), dim=1)
        torch.testing.assert_close(embeddings[row], alone, rtol=1e-10, atol=1e-12)


def test_batchnorm_sees_each_size_apart_in_the_trunk_and_all_crops_together_in_the_head() -> None:
    net, groups = small_net().double(), made_groups(torch.float64)
    seen: dict[str, list[int]] = {"trunk": [], "head": []}
    net.trunk.bn1.register_forward_hook(lambda _m, inputs, _o: seen["trunk"].append(len(inputs[0])))
    net.projection_head[1].register_forward_hook(lambda _m, inputs, _o: seen["head"].append(len(inputs[0])))
    net(groups)
    assert seen == {"trunk": [8, 12], "head": [20]}
    mean = torch.zeros(net.trunk.bn1.num_features, dtype=torch.float64)
    for group in groups:
        mean = 0.9 * mean + 0.1 * net.trunk.conv1(group.flatten(0, 1)).mean((0, 2, 3))
    torch.testing.assert_close(net.trunk.bn1.running_mean, mean)


def test_channels_last_crops_reach_the_trunk_without_a_copy() -> None:
    net = small_net()
    rows = torch.randn(8, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    pointers, orders = [], []

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pointers.append(inputs[0].data_ptr())
        orders.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    net.trunk.conv1.register_forward_pre_hook(look)
    net([rows.view(4, 2, 3, 32, 32)])
    assert pointers == [rows.data_ptr()]
    assert orders == [True]


def test_under_bfloat16_autocast_embeddings_and_scores_are_float32_and_consistent() -> None:
    net, groups = small_net(), made_groups()
    net.normalize_prototypes_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings, scores = net(groups)
    assert embeddings.dtype == scores.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=2), torch.ones(5, 4), rtol=1e-6, atol=0)
    exact = embeddings.double() @ net.prototypes.weight.double().T
    torch.testing.assert_close(scores.double(), exact, rtol=0, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    net = small_net()
    net(made_groups())[1].square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_prototypes_are_normalized_in_place() -> None:
    net = small_net()
    weight = net.prototypes.weight
    expected = weight.detach() / weight.detach().norm(dim=1, keepdim=True)
    net.normalize_prototypes_()
    assert net.prototypes.weight is weight
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("was_training", [True, False])
def test_features_use_running_statistics_and_leave_the_net_as_it_was(was_training: bool) -> None:
    net = small_net()
    net(made_groups())
    net.train(was_training)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    images = torch.randn(4, 3, 32, 32)
    together = net.features(images)
    assert not together.requires_grad
    torch.testing.assert_close(net.features(images[:1]), together[:1], rtol=1e-4, atol=1e-5)
    assert all(module.training == was_training for module in net.modules())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_ln_k_is_the_loss_of_saying_nothing() -> None:
    assert small_net().ln_num_prototypes == math.log(10)
