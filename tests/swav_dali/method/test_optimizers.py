"""LARS and AdamW against torch's and timm's own, in float64; which parameters are spared; steps left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm.optim
import torch
from torch import nn

from swav_dali.config.optim import OptimConfig
from swav_dali.method.adamw import AdamW
from swav_dali.method.guarded import GuardedOptimizer
from swav_dali.method.larc import Larc
from swav_dali.method.optimizers import make_optimizer

NAMES = ["larc", "lars", "adamw"]


def made_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double()


def set_gradients(net: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step + 1)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def config(name: Any, **changes: Any) -> OptimConfig:
    return OptimConfig(optimizer=name, **{"base_lr": 0.1, "weight_decay": 0.01, "trust_coefficient": 0.02} | changes)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for step in range(steps):
        set_gradients(net, step)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.step()


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def split(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    kernels = [p for p in net.parameters() if p.ndim > 1]
    return kernels, [p for p in net.parameters() if p.ndim <= 1]


def test_adamw_is_torchs_with_decay_on_kernels_only() -> None:
    ours, theirs = made_net(), made_net()
    kernels, rest = split(theirs)
    groups = [{"params": kernels}, {"params": rest, "weight_decay": 0.0}]
    train(ours, make_optimizer(ours, config("adamw", momentum=0.85, beta2=0.95)))
    train(theirs, torch.optim.AdamW(groups, lr=0.1, betas=(0.85, 0.95), weight_decay=0.01, foreach=False))
    assert_same_weights(ours, theirs)


def test_lars_is_timms_with_norms_and_biases_left_alone() -> None:
    ours, theirs = made_net(), made_net()
    kernels, rest = split(theirs)
    groups = [{"params": kernels}, {"params": rest, "weight_decay": 0.0}]
    train(ours, make_optimizer(ours, config("lars")))
    train(theirs, timm.optim.Lars(groups, lr=0.1, momentum=0.9, weight_decay=0.01, trust_coeff=0.02, eps=1e-8))
    assert_same_weights(ours, theirs)


def test_larc_treats_every_parameter_alike() -> None:
    ours, theirs = made_net(), made_net()
    train(ours, make_optimizer(ours, config("larc")))
    train(theirs, Larc(theirs.parameters(), lr=0.0, weight_decay=0.01, trust_coefficient=0.02))
    assert_same_weights(ours, theirs)
    assert len(make_optimizer(ours, config("larc")).param_groups) == 1, "checkpoints of before have one group"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("first", [0, 3])
def test_a_step_with_a_gradient_that_is_not_finite_is_as_if_it_had_not_been(name: str, first: int) -> None:
    disturbed, quiet = made_net(), made_net()
    optimizers = [make_optimizer(net, config(name)) for net in (disturbed, quiet)]
    for net, optimizer in zip((disturbed, quiet), optimizers, strict=True):
        train(net, optimizer, first)
    set_gradients(disturbed, 99)
    spoilt = next(disturbed.parameters())
    assert spoilt.grad is not None
    spoilt.grad[0, 0, 0, 0] = torch.inf
    norms = optimizers[0].step()
    assert (~norms.isfinite()).nonzero().flatten().tolist() == [0]
    for net, optimizer in zip((disturbed, quiet), optimizers, strict=True):
        train(net, optimizer, 2)
    for a, b in zip(disturbed.parameters(), quiet.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_with_the_same_bits(name: str) -> None:
    first, second = made_net(), made_net()
    before = make_optimizer(first, config(name))
    train(first, before, 2)
    second.load_state_dict(first.state_dict())
    after = make_optimizer(second, config(name))
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    for net, optimizer in ((first, before), (second, after)):
        train(net, optimizer, 2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_saved_before_there_was_lars_loads() -> None:
    net = made_net()
    optimizer = Larc(net.parameters(), lr=0.1)
    train(net, optimizer, 1)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["adapt"]
    other = Larc(net.parameters(), lr=0.1)
    other.load_state_dict(state)
    train(net, other, 1)
    assert other.param_groups[0]["adapt"]


def test_adamws_state_is_torchs() -> None:
    net = made_net()
    optimizer = AdamW(net.parameters(), lr=0.1)
    assert isinstance(optimizer, GuardedOptimizer)
    train(net, optimizer, 3)
    theirs = torch.optim.AdamW(net.parameters(), lr=0.1)
    theirs.load_state_dict(optimizer.state_dict())
    state = next(iter(theirs.state.values()))
    assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert state["step"] == 3


def test_counts_read_on_the_cpu_are_taken_to_their_parameters_device() -> None:
    saved = AdamW([torch.nn.Parameter(torch.ones(3))], lr=1e-3)
    saved.state[saved.param_groups[0]["params"][0]] = {
        "step": torch.tensor(4.0),
        "exp_avg": torch.zeros(3),
        "exp_avg_sq": torch.zeros(3),
    }
    elsewhere = AdamW([torch.nn.Parameter(torch.ones(3, device="meta"))], lr=1e-3)
    elsewhere.load_state_dict(saved.state_dict())
    (own,) = elsewhere.state.values()
    assert {name: value.device.type for name, value in own.items()} == dict.fromkeys(own, "meta")
