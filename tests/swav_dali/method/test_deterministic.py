"""What --deterministic promises on CUDA: the same steps leave the same bits. A CPU needs no flag."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from stepping import one_step

from swav_dali.method.larc import Larc
from swav_dali.model.net import SwavNet
from swav_dali.ranks.device import prepare_device

DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda", 0), marks=pytest.mark.gpu)]


@pytest.fixture
def settings_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = benchmark
    torch.use_deterministic_algorithms(False)


def weights_after_three_steps(device: torch.device) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net = SwavNet("resnet18", num_prototypes=30).to(memory_format=torch.channels_last).to(device)
    optimizer = Larc(net.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 2, 64, 64, 3), (2, 2, 32, 32, 3))
    groups = [torch.randn(shape, generator=generator).permute(0, 1, 4, 2, 3).to(device) for shape in shapes]
    for _ in range(3):
        dtype = torch.bfloat16 if device.type == "cuda" else None
        one_step(net, groups, model=net, optimizer=optimizer, learning_rate=0.1, autocast_dtype=dtype)
    return [parameter.detach().cpu() for parameter in net.parameters()]


@pytest.mark.usefixtures("settings_kept")
@pytest.mark.parametrize("device", DEVICES)
def test_the_same_steps_leave_the_same_bits(device: torch.device) -> None:
    prepare_device(device, deterministic=True)
    one, other = weights_after_three_steps(device), weights_after_three_steps(device)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, other, strict=True))
