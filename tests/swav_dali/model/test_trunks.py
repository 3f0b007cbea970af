"""Trunks of others under one head: their features, their sizes, training, and names nobody has."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from stepping import one_step

from swav_dali.config.optim import OptimConfig
from swav_dali.config.sections import ModelConfig, SwavConfig
from swav_dali.errors import ConfigError
from swav_dali.method.optimizers import make_optimizer
from swav_dali.model.net import SwavNet, made_net
from swav_dali.model.trunks import make_trunk


def images(size: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet34", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024), ("convnext_tiny", 768)],
)
def test_torchvisions_trunks_end_before_their_last_linear_layer(name: str, width: int) -> None:
    torch.manual_seed(0)
    whole = torchvision.models.get_model(name, weights=None).eval()
    seen = []
    last = [module for module in whole.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    trunk, num_features = make_trunk(f"torchvision:{name}")
    with torch.no_grad():
        whole(images(64))
        features = trunk.eval()(images(64))
    assert num_features == width
    assert torch.equal(features, seen[0])


@pytest.mark.parametrize(
    ("name", "width"), [("vit_tiny_patch16_224", 192), ("resnet18", 512), ("mobilenetv3_small_050", 1024)]
)
def test_timms_trunks_give_pooled_features_for_every_size_of_crops(name: str, width: int) -> None:
    torch.manual_seed(0)
    trunk, num_features = make_trunk(f"timm:{name}")
    for size in (32, 64, 96):
        assert trunk.eval()(images(size)).shape == (2, width)
    assert num_features == width


def test_a_transformers_features_are_timms_own() -> None:
    torch.manual_seed(0)
    whole = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    torch.manual_seed(0)
    trunk, _ = make_trunk("timm:vit_tiny_patch16_224")
    with torch.no_grad():
        torch.testing.assert_close(trunk.eval()(images(224, 1)), whole(images(224, 1)))


def train_20_steps(arch: str, optim: OptimConfig) -> list[float]:
    torch.manual_seed(0)
    model = made_net(ModelConfig(arch=arch, hidden_dim=64, embedding_dim=32, num_prototypes=16))
    optimizer = make_optimizer(model, optim)
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(8, 1, 3, 8, 8, generator=generator)  # what the crops of a picture have in common
    losses = []
    for _ in range(20):
        groups = []
        for num, size in ((2, 32), (2, 16)):
            same = torch.nn.functional.interpolate(pictures.flatten(0, 1), size=size).unsqueeze(1)
            groups.append(same + 0.3 * torch.randn(8, num, 3, size, size, generator=generator))
        settings = {"learning_rate": optim.base_lr, "swav": SwavConfig(epsilon=0.05)}
        result = one_step(model, groups, model=model, optimizer=optimizer, **settings)
        losses.append(result.loss.item())
    return losses


@pytest.mark.parametrize(
    ("arch", "optim"),
    [
        ("timm:vit_tiny_patch16_224", OptimConfig(optimizer="adamw", base_lr=5e-4, weight_decay=0.05)),
        ("torchvision:resnet34", OptimConfig(optimizer="lars", base_lr=1.0)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.optimizer,
)
def test_20_steps_lower_the_loss(arch: str, optim: OptimConfig) -> None:
    losses = train_20_steps(arch, optim)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_small_stem_keeps_the_resolution_of_small_pictures() -> None:
    trunk, _ = make_trunk("resnet18", small_stem=True)
    assert trunk.conv1(images(32)).shape == (2, 64, 32, 32)
    assert trunk.layer1(trunk.maxpool(trunk.conv1(images(32)))).shape == (2, 64, 32, 32)
    assert trunk(images(32)).shape == (2, 512)


def test_a_head_without_batchnorm_has_the_keys_of_its_layers() -> None:
    keys = [key for key in SwavNet("tiny", head_norm=False, hidden_dim=8).state_dict() if key.startswith("projection")]
    assert keys == [f"projection_head.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")]


def test_files_of_foreign_trunks_have_their_own_flat_names() -> None:
    net = SwavNet("timm:vit_tiny_patch16_224", hidden_dim=8, embedding_dim=4, num_prototypes=3)
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    assert theirs.keys() == {key for key in net.state_dict() if not key.startswith(("projection_head", "prototypes"))}


@pytest.mark.parametrize(
    ("arch", "changes", "words"),
    [
        ("torchvision:resnet35", {}, ["torchvision has no such network", "resnet34"]),
        ("timm:vit_tny_patch16_224", {}, ["timm has no such network", "vit_tiny_patch16_224"]),
        ("torchvision:squeezenet1_0", {}, ["does not end in one linear classifier", "timm"]),
        ("torchvision:googlenet", {}, ["does not end in one linear classifier"]),
        ("timm:resnet18", {"small_stem": True}, ["--model.small-stem", "resnet18"]),
    ],
)
def test_what_cannot_be_a_trunk_is_said(arch: str, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_trunk(arch, **changes)
    for word in words:
        assert word in str(caught.value)


def test_a_name_of_no_library_is_refused_before_torch_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"--model.arch: unknown backbone, found 'resnet51', expected tiny \| "):
        ModelConfig(arch="resnet51")
