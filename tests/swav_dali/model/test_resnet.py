"""The trunks against torchvision's: same names, same numbers."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from swav_dali.errors import ConfigError
from swav_dali.model.resnet import ARCHITECTURES, ResNet


def torchvisions(name: str) -> nn.Module:
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None)
    net.fc = nn.Identity()
    with torch.no_grad():
        for key, tensor in net.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1)
            elif key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("is_training", [True, False])
def test_torchvisions_weights_load_one_to_one_and_give_its_features(name: str, is_training: bool) -> None:
    theirs, ours = torchvisions(name).train(is_training), ResNet(name).train(is_training)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=0)


def test_resnet50_has_318_entries_and_23_508_032_parameters() -> None:
    trunk = ResNet("resnet50")
    assert len(trunk.state_dict()) == 318
    assert sum(p.numel() for p in trunk.parameters()) == 23_508_032
    assert trunk.num_features == 2048


@pytest.mark.parametrize(("name", "millions", "features"), [("resnet50w2", 93.9, 4096), ("resnet50w4", 375.4, 8192)])
def test_wide_variants_widen_every_channel(name: str, millions: float, features: int) -> None:
    with torch.device("meta"):
        trunk = ResNet(name)
    assert sum(p.numel() for p in trunk.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert trunk.num_features == features


def test_convolutions_start_as_kaiming_fan_out_and_batchnorm_as_identity() -> None:
    trunk = ResNet("resnet18")
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 30_000:
            expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.02)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


@pytest.mark.parametrize("size", [32, 64])
def test_the_tiny_trunk_takes_small_crops(size: int) -> None:
    trunk = ResNet("tiny")
    assert trunk(torch.randn(2, 3, size, size)).shape == (2, trunk.num_features)


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_channels_last_images_stay_so_to_the_last_layer(name: str) -> None:
    trunk = ResNet(name).to(memory_format=torch.channels_last)
    orders = []
    trunk.layer4.register_forward_hook(
        lambda _module, _inputs, out: orders.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    trunk(torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    assert orders == [True]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"--model.arch: unknown backbone, found 'resnet51', expected tiny \| "):
        ResNet("resnet51")
    assert "resnet50" in ARCHITECTURES
