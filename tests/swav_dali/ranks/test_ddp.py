"""Prototypes apart from torch's buckets: nothing of frozen ones is computed or sent, and no bit differs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from stepping import crops, one_step
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from swav_dali.method.larc import Larc
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import settle, wrap
from swav_dali.ranks.world import World

FROZEN = 2
PROTOTYPES = 10 * 16


def by_torch(model: nn.Module, world: World) -> nn.Module:
    """All parameters in torch's buckets, whose gradients of frozen prototypes are thrown away after backward."""
    with warnings.catch_warnings(action="ignore"):
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


def by_us(model: nn.Module, world: World) -> nn.Module:
    return wrap(model, world, sync_bn="off")


def trained(world: World, wrapped: Callable[[nn.Module, World], nn.Module], micro_batches: int = 1) -> list[Tensor]:
    """Weights and momenta after steps with frozen prototypes and steps without."""
    torch.manual_seed(world.rank)  # the wrapper makes all ranks begin with rank 0's
    model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
    net, optimizer = wrapped(model, world), Larc(model.parameters(), lr=0.0)
    if wrapped is by_torch:
        model.prototypes.weight.requires_grad_ = lambda wanted: None  # type: ignore[method-assign, assignment, misc, return-value]
    for number in range(FROZEN + 2):
        is_frozen = number < FROZEN
        if wrapped is by_torch and is_frozen:
            thrown_away(optimizer, model.prototypes.weight)
        groups, choices = (
            crops(10 * number + world.rank),
            {"freeze_prototypes": is_frozen, "micro_batches": micro_batches},
        )
        one_step(net, groups, model=model, optimizer=optimizer, **choices)
    momenta = [optimizer.state[parameter]["momentum_buffer"] for parameter in model.parameters()]
    return [tensor.detach().clone() for tensor in [*model.parameters(), *momenta]]


def thrown_away(optimizer: Larc, weight: Tensor) -> None:
    """As the reference does it: the gradient is there and the next step does not see it."""

    def drop(*_: Any) -> None:
        weight.grad = None
        hook.remove()

    hook = optimizer.register_step_pre_hook(drop)


def same_bits(world: World) -> list[bool]:
    found = []
    for micro_batches in (1, 2):
        ours, theirs = (trained(world, wrapped, micro_batches) for wrapped in (by_us, by_torch))
        found.append(all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)))
    return found


def test_weights_and_momenta_have_the_bits_of_one_wrapper_over_all(run_ranks: Callable[..., list[Any]]) -> None:
    assert run_ranks(same_bits, 2) == [[True, True]] * 2


def sent(world: World) -> tuple[list[int], list[int], bool]:
    """Elements of the prototypes' all-reduce and of torch's buckets in a frozen step and in another one."""
    torch.manual_seed(0)
    model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
    net = by_us(model, world)
    assert isinstance(net, DistributedDataParallel)
    ours: list[int] = []
    theirs: list[int] = []
    real = dist.all_reduce

    def counted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        ours.append(tensor.numel())
        return real(tensor, *args, **kwargs)

    def averaged(_: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        theirs.append(bucket.buffer().numel())
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    averaged.__annotations__ = {"bucket": dist.GradBucket, "return": torch.futures.Future[Tensor]}  # torch asks
    net.register_comm_hook(None, averaged)
    dist.all_reduce = counted
    for is_frozen in (True, False):
        model.prototypes.requires_grad_(not is_frozen)
        _, scores = net([torch.randn(2, 2, 3, 32, 32)])
        scores.sum().backward()
    with net.no_sync():
        net([torch.randn(2, 2, 3, 32, 32)])[1].sum().backward()
    dist.all_reduce = real
    return ours, theirs, model.prototypes.weight.grad is not None


def test_frozen_prototypes_are_in_no_collective_and_others_in_one_of_their_own(
    run_ranks: Callable[..., list[Any]],
) -> None:
    everything = sum(parameter.numel() for parameter in SwavNet("tiny", embedding_dim=16, hidden_dim=32).parameters())
    rest = everything - 3000 * 16
    for ours, theirs, has_gradient in run_ranks(sent, 2):
        assert ours == [PROTOTYPES]
        assert sum(theirs) == 2 * rest
        assert has_gradient


def test_backward_computes_no_gradient_of_frozen_prototypes() -> None:
    model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
    optimizer = Larc(model.parameters(), lr=0.0)
    seen: list[bool] = []
    for is_frozen in (True, False, True):
        pictures = [torch.randn(4, 2, 3, 32, 32)]
        one_step(model, pictures, model=model, optimizer=optimizer, freeze_prototypes=is_frozen)
        seen.append(model.prototypes.weight.grad is None)
    assert seen == [True, False, True]


def goes_on(world: World, *, is_settled: bool) -> bool:
    """Whether a step of a wrapper that has made others has the bits of a new wrapper's first step."""
    gradients = []
    for num_steps in (3, 1):
        torch.manual_seed(0)
        model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=10)
        start, state = [buffer.clone() for buffer in model.buffers()], torch.get_rng_state()
        net = by_us(model, world)
        if is_settled:
            settle(net, (32, 16))
            assert all(parameter.grad is None for parameter in model.parameters())
            assert all(torch.equal(*pair) for pair in zip(model.buffers(), start, strict=True))
            assert torch.equal(torch.get_rng_state(), state)
        for _ in range(num_steps):
            model.zero_grad()
            net(crops(world.rank))[1].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    return all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize(("is_settled", "found"), [(True, True), (False, False)])
def test_a_settled_wrapper_sums_over_three_ranks_in_one_order_from_the_first_step_on(
    run_ranks: Callable[..., list[Any]], is_settled: bool, found: bool
) -> None:
    assert run_ranks(partial(goes_on, is_settled=is_settled), 3) == [found] * 3
