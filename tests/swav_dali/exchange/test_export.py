"""Round trips: what others make of an export has our features to 1e-5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor

from swav_dali.errors import ConfigError
from swav_dali.exchange.backbone import Backbone, load_backbone
from swav_dali.exchange.export import export
from swav_dali.exchange.network import Network, network_of
from swav_dali.exchange.weights import read_weights
from swav_dali.model.net import SwavNet

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def trained(arch: str) -> SwavNet:
    """A network whose running statistics and affine BatchNorm parameters are not the ones it starts with."""
    torch.manual_seed(3)
    model = SwavNet(arch, embedding_dim=8, hidden_dim=16, num_prototypes=12)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def network(arch: str, folder: Path) -> Network:
    file = folder / f"{arch}.pth"
    torch.save({f"module.{name}": value for name, value in trained(arch).state_dict().items()}, file)
    return network_of(read_weights(file))


@torch.no_grad()
def features(module: torch.nn.Module) -> Tensor:
    return module.eval()(IMAGES)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_torchvisions_model_gives_the_same_features(arch: str, tmp_path: Path) -> None:
    ours = network(arch, tmp_path)
    (file,) = export(ours, "torchvision", tmp_path / "out.pth")
    model = torchvision.models.get_model(arch)
    left_out = model.load_state_dict(torch.load(file, weights_only=True), strict=False)
    assert (left_out.missing_keys, left_out.unexpected_keys) == (["fc.weight", "fc.bias"], [])
    model.fc = torch.nn.Identity()
    torch.testing.assert_close(features(model), features(Backbone(ours)), rtol=1e-5, atol=1e-5)


def test_timm_opens_the_folder_and_gives_the_same_features_and_preprocessing(tmp_path: Path) -> None:
    ours = network("resnet18", tmp_path)
    export(ours, "timm", tmp_path / "folder")
    model = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True)
    torch.testing.assert_close(features(model), features(Backbone(ours)), rtol=1e-5, atol=1e-5)
    data = timm.data.resolve_model_data_config(model)
    assert (tuple(data["mean"]), tuple(data["std"])) == ((0.485, 0.456, 0.406), (0.228, 0.224, 0.225))
    assert (tuple(data["input_size"]), round(data["crop_pct"], 3)) == ((3, 224, 224), 0.875)


@pytest.mark.parametrize("form", ["reference", "safetensors"])
@pytest.mark.parametrize("arch", ["tiny", "resnet50"])
def test_head_and_prototypes_come_back_with_the_trunk(form: str, arch: str, tmp_path: Path) -> None:
    ours = network(arch, tmp_path)
    (file,) = export(ours, form, tmp_path / f"out.{'pth.tar' if form == 'reference' else form}")
    back = network_of(read_weights(file))
    assert back.has_head
    assert back.arch == arch
    for name, value in ours.model.state_dict().items():
        assert torch.equal(back.model.state_dict()[name], value), name


def test_the_references_form_has_its_prefix_on_every_name(tmp_path: Path) -> None:
    (file,) = export(network("tiny", tmp_path), "reference", tmp_path / "out.pth.tar")
    names = list(torch.load(file, weights_only=True))
    assert all(name.startswith("module.") for name in names)
    assert {"module.conv1.weight", "module.projection_head.0.weight", "module.prototypes.weight"} <= set(names)


def test_onnx_runs_with_other_batch_sizes_and_the_same_features(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ours = network("tiny", tmp_path)
    (file,) = export(ours, "onnx", tmp_path / "out.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    images = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    for count in (1, 3):
        (theirs,) = session.run(["features"], {"images": images[:count].numpy()})
        with torch.no_grad():
            expected = Backbone(ours).eval()(images[:count]).numpy()
        np.testing.assert_allclose(theirs, expected, rtol=1e-4, atol=1e-5)


def test_a_loaded_backbone_is_the_trunk_in_evaluation_mode(tmp_path: Path) -> None:
    model = trained("resnet18")
    torch.save(model.state_dict(), tmp_path / "flat.pth")
    backbone = load_backbone(tmp_path / "flat.pth")
    assert not backbone.training
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    with torch.no_grad():
        torch.testing.assert_close(backbone(IMAGES), model.features(IMAGES))


def test_the_package_offers_it_by_name(tmp_path: Path) -> None:
    import swav_dali

    assert swav_dali.load_backbone is load_backbone
    with pytest.raises(AttributeError, match="no attribute 'load_backbon'"):
        _ = swav_dali.load_backbon


@pytest.mark.parametrize("form", ["torchvision", "timm"])
def test_a_trunk_that_the_other_library_lacks_is_named(form: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model of this shape, found tiny, expected resnet18 \| resnet34"):
        export(network("tiny", tmp_path), form, tmp_path / "out")


def test_a_trunk_alone_has_no_reference_form(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "trunk.pth")
    with pytest.raises(ConfigError, match="wants head and prototypes, found a trunk alone"):
        export(network_of(read_weights(tmp_path / "trunk.pth")), "reference", tmp_path / "out")
