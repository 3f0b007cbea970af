"""The data-parallel wrapper: gradients averaged over the ranks, BatchNorm statistics local or shared.

Prototypes are averaged apart from torch's buckets, which want the same parameters in every step: while they are frozen
nothing of them is computed or sent.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.compiler import set_stance
from torch.nn.parallel import DistributedDataParallel

from swav_dali.config.sections import SyncBn
from swav_dali.errors import ConfigError
from swav_dali.ranks.world import World

_APART = "prototypes."


def wrap(model: nn.Module, world: World, *, sync_bn: SyncBn) -> nn.Module:
    """`model` itself on one rank, its DistributedDataParallel wrapper on several.

    Buffers are not broadcast: running statistics are a rank's own, or equal already under SyncBatchNorm.
    `model` keeps its parameters and, with `sync_bn`, gets synchronized BatchNorm layers in place.

    Raises:
        ConfigError: groups that do not divide the ranks, or synchronized BatchNorm on CPUs, for which torch has no
            kernel.
    """
    group_size = ranks_of_a_norm(sync_bn, num_ranks=world.size, ranks_per_node=world.ranks_per_node)
    if world.size == 1:
        return model
    if group_size > 1:
        if world.device.type != "cuda":
            raise ConfigError(
                "synchronized BatchNorm needs CUDA", where="--model.sync-bn", found=sync_bn, expected="off"
            )
        synchronize_norms(model, group_size)
    device_ids = [world.device] if world.device.type == "cuda" else None
    with warnings.catch_warnings():  # the successor's name is not known to torch 2.9
        warnings.filterwarnings("ignore", ".*broadcast_buffers.* is deprecated", FutureWarning)
        apart = {name: parameter for name, parameter in model.named_parameters() if name.startswith(_APART)}
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, list(apart))
        net = DistributedDataParallel(
            model, device_ids=device_ids, broadcast_buffers=False, gradient_as_bucket_view=True
        )
    for parameter in apart.values():
        dist.broadcast(parameter.detach(), src=0)
        parameter.register_post_accumulate_grad_hook(partial(_average, net))
    return net


def settle(net: nn.Module, sizes: Iterable[int]) -> None:
    """Give the wrapper's buckets the order they keep from its second step on, which is that of a first backward.

    An all-reduce over three ranks or more adds up in an order that hangs on a number's place in its bucket: a run that
    is continued would differ in the last bits of its first step. Two black pictures go through and back; gradients,
    BatchNorm's statistics and random state are as before. A net of one rank is left alone.

    Args:
        net: what `wrap` returned, in training mode, its prototypes not frozen.
        sizes: sides of the crops, pixels.
    """
    if not isinstance(net, DistributedDataParallel):
        return
    device = next(net.parameters()).device
    before = [buffer.clone() for buffer in net.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), set_stance("force_eager"):
        _, scores = net([torch.zeros(2, 1, 3, size, size, device=device) for size in sizes])
        scores.sum().backward()
    net.zero_grad()
    for buffer, saved in zip(net.buffers(), before, strict=True):
        buffer.copy_(saved)


def _average(net: DistributedDataParallel, parameter: Tensor) -> None:
    """Begin to average a gradient that backward has made; it is there when backward ends, as torch's buckets are."""
    if parameter.grad is None or not net.require_backward_grad_sync:
        return
    work = dist.all_reduce(parameter.grad.mul_(1 / dist.get_world_size()), async_op=True)

    def finish() -> None:
        work.wait()

    torch.autograd.Variable._execution_engine.queue_callback(finish)


def ranks_of_a_norm(sync_bn: SyncBn, *, num_ranks: int, ranks_per_node: int) -> int:
    """How many ranks share the statistics of their BatchNorm; 1 for none.

    Raises:
        ConfigError: groups of that many ranks leave some over.
    """
    known = {"off": 1, "world": num_ranks, "node": ranks_per_node}
    size = sync_bn if isinstance(sync_bn, int) else known[sync_bn]
    if num_ranks % size:
        is_node = sync_bn == "node"
        raise ConfigError(
            "nodes have different numbers of ranks" if is_node else "groups of BatchNorm leave ranks over",
            where="--model.sync-bn",
            found=f"{num_ranks} rank(s), {size} on this node"
            if is_node
            else f"groups of {size} for {num_ranks} rank(s)",
            expected="world or off" if is_node else "a divisor of the number of ranks, world or off",
        )
    return size


def synchronize_norms(model: nn.Module, group_size: int) -> None:
    """Make the BatchNorm layers of `model` share statistics over groups of neighbouring ranks; collective.

    Neighbouring ranks are those of one machine, as torchrun and srun count them.
    """
    group = dist.group.WORLD
    if group_size != dist.get_world_size():
        group, _ = dist.new_subgroups(group_size=group_size)
    nn.SyncBatchNorm.convert_sync_batchnorm(model, process_group=group)


def share_buffers(model: nn.Module) -> None:
    """Give every rank rank 0's BatchNorm statistics, so that all evaluate the network that a checkpoint holds."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
