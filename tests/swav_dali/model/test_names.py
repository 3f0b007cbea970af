"""Names in files are the published ones, whatever the network is called inside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swav_dali.model.names import module_name, published_name
from swav_dali.model.net import SwavNet


def small_net(seed: int = 0) -> SwavNet:
    torch.manual_seed(seed)
    return SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)


def test_a_state_has_flat_names_in_the_order_of_the_modules() -> None:
    keys = list(small_net().state_dict())
    assert keys[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert keys[-1] == "prototypes.weight"
    assert not [key for key in keys if key.startswith("trunk.")]


def test_a_flat_state_loads_bit_for_bit() -> None:
    saved, net = small_net(1).state_dict(), small_net(2)
    net.load_state_dict(saved)
    for key, value in net.state_dict().items():
        assert torch.equal(value, saved[key]), key
    assert list(saved) == list(small_net().state_dict()), "the caller's state keeps its names"


def test_a_state_under_a_prefix_keeps_the_prefix() -> None:
    around = nn.ModuleDict({"beside": nn.Linear(1, 1), "net": small_net(1)})
    saved = around.state_dict()
    assert {"net.conv1.weight", "net.prototypes.weight", "beside.weight"} <= saved.keys()
    other = nn.ModuleDict({"beside": nn.Linear(1, 1), "net": small_net(2)})
    other.load_state_dict(saved)
    assert torch.equal(other["net"].trunk.conv1.weight, saved["net.conv1.weight"])


def test_complaints_speak_of_published_names() -> None:
    saved = small_net().state_dict()
    saved["layer9.weight"] = saved.pop("conv1.weight")
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "conv1.weight"') as caught:
        small_net().load_state_dict(saved)
    assert '"layer9.weight"' in str(caught.value)
    assert "trunk" not in str(caught.value)


@pytest.mark.parametrize("name", ["trunk.layer1.0.conv1.weight", "projection_head.0.bias", "prototypes.weight"])
def test_names_go_there_and_back(name: str) -> None:
    assert module_name(published_name(name)) == name
