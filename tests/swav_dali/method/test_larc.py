"""LARC against its formula, written one tensor and one number at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from swav_dali.method.larc import Larc

SETTINGS = {"momentum": 0.9, "weight_decay": 1e-2, "trust_coefficient": 0.02, "eps": 1e-8}
SHAPES = [(4, 3), (5,), (2, 3, 3, 3), ()]


def made_params(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def set_gradients(params: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step + 1)
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype)


def formula_step(w: Tensor, g: Tensor, v: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    w_norm, g_norm = w.norm().item(), g.norm().item()
    if w_norm and g_norm:
        decay = SETTINGS["weight_decay"]
        ratio = SETTINGS["trust_coefficient"] * w_norm / (g_norm + decay * w_norm + SETTINGS["eps"])
        g = ratio * (g + decay * w)
    v = SETTINGS["momentum"] * v + g
    return w - lr * v, v


def test_five_steps_follow_the_formula() -> None:
    params = made_params()
    optimizer = Larc(params, lr=0.0, **SETTINGS)
    expected = [(param.detach().clone(), torch.zeros_like(param)) for param in params]
    for step in range(5):
        set_gradients(params, step)
        lr = 0.5 + step
        optimizer.param_groups[0]["lr"] = lr
        expected = [formula_step(w, p.grad, v, lr) for p, (w, v) in zip(params, expected, strict=True)]
        optimizer.step()
    for param, (w, _) in zip(params, expected, strict=True):
        torch.testing.assert_close(param.detach(), w, rtol=1e-12, atol=1e-12)


def test_a_zero_tensor_takes_its_raw_gradient_at_the_full_rate() -> None:
    bias = nn.Parameter(torch.zeros(3))
    bias.grad = torch.tensor([1.0, -2.0, 3.0])
    Larc([bias], lr=0.3).step()
    torch.testing.assert_close(bias.detach(), torch.tensor([-0.3, 0.6, -0.9]))


def test_a_zero_gradient_moves_nothing_not_even_by_decay() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    weight.grad = torch.zeros(2)
    Larc([weight], lr=1.0, weight_decay=0.5).step()
    assert weight.tolist() == [1.0, 2.0]


def test_zero_tensors_do_not_disturb_their_neighbours() -> None:
    alone, among = made_params()[0], made_params()[0]
    zero = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    set_gradients([alone], 0)
    set_gradients([among], 0)
    zero.grad = torch.zeros(3, dtype=torch.float64)
    Larc([alone], lr=1.0).step()
    Larc([among, zero], lr=1.0).step()
    assert torch.equal(alone, among)
    assert zero.tolist() == [0.0, 0.0, 0.0]


def test_a_parameter_without_gradient_keeps_its_value_and_momentum() -> None:
    params = made_params()
    optimizer = Larc(params, lr=1.0)
    set_gradients(params, 0)
    optimizer.step()
    params[0].grad = None
    before = copy.deepcopy((params[0], optimizer.state[params[0]]["momentum_buffer"]))
    moved = params[1].detach().clone()
    optimizer.step()
    assert torch.equal(params[0], before[0])
    assert torch.equal(optimizer.state[params[0]]["momentum_buffer"], before[1])
    assert not torch.equal(params[1], moved)


def test_a_step_without_any_gradient_does_nothing() -> None:
    params = made_params()
    Larc(params, lr=1.0).step()
    for param, before in zip(params, made_params(), strict=True):
        assert torch.equal(param, before)


def test_a_loaded_state_continues_with_the_same_bits() -> None:
    params = made_params(torch.float32)
    optimizer = Larc(params, lr=0.7)
    set_gradients(params, 0)
    optimizer.step()
    others = [nn.Parameter(param.detach().clone()) for param in params]
    restored = Larc(others, lr=0.0)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in (1, 2):
        for ours, group in ((params, optimizer), (others, restored)):
            set_gradients(ours, step)
            group.step()
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def test_the_state_is_that_of_torchs_sgd() -> None:
    params = made_params()
    sgd = torch.optim.SGD(made_params(), lr=0.1, momentum=0.9)
    optimizer = Larc(params, lr=0.1)
    for group in (sgd.param_groups[0], optimizer.param_groups[0]):
        set_gradients(group["params"], 0)
    sgd.step()
    optimizer.step()
    ours, torchs = optimizer.state_dict()["state"], sgd.state_dict()["state"]
    assert {k: list(v) for k, v in ours.items()} == {k: list(v) for k, v in torchs.items()}


def test_channels_last_weights_keep_their_memory_order() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last))
    weight.grad = torch.randn_like(weight)
    optimizer = Larc([weight], lr=1.0)
    optimizer.step()
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert optimizer.state[weight]["momentum_buffer"].stride() == weight.stride()


@pytest.mark.parametrize("scheduler", [lambda o: torch.optim.lr_scheduler.StepLR(o, 1)])
def test_torchs_schedulers_accept_it(scheduler: object) -> None:
    assert scheduler(Larc(made_params(), lr=1.0)) is not None  # type: ignore[operator]
