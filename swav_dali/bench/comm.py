"""The collectives of a real step, counted: gloo processes that train one step each and note what they send."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.config import CropGroup
from swav_dali.bench.scaling import Traffic
from swav_dali.config.sections import SwavConfig
from swav_dali.errors import TrainingError
from swav_dali.method.larc import Larc
from swav_dali.method.step import train_step
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.group import process_group
from swav_dali.ranks.world import World

CODES, GRADIENTS, PROTOTYPES = "codes", "gradients, hidden", "prototypes, hidden"
_PATIENCE = 600.0
_PICTURES = 2  # the counts do not depend on them, and SyncBatchNorm's bytes neither


def counted_step(arch: str, num_prototypes: int, crops: Sequence[CropGroup], *, ranks: int) -> list[Traffic]:
    """What rank 0 sends in a step of `ranks` gloo processes, small crops in the place of large ones.

    Raises:
        TrainingError: a rank failed or did not answer.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        receiver, sender = context.Pipe(duplex=False)
        setting = arch, num_prototypes, sum(group.num for group in crops)
        processes = [
            context.Process(target=_step_of_rank, args=(rank, ranks, meeting, setting, sender), daemon=True)
            for rank in range(ranks)
        ]
        for process in processes:
            process.start()
        answer = receiver.recv() if receiver.poll(_PATIENCE) else None
        for process in processes:
            process.join(_PATIENCE if answer is not None else 1.0)
            process.terminate()
    if answer is None:
        raise TrainingError("no answer", where=f"{ranks} gloo processes", found=f"nothing in {_PATIENCE:.0f} s")
    return [Traffic(**each) for each in answer]


def sync_batch_norm(arch: str, num_groups: int, *, within_node: bool) -> Traffic:
    """What SyncBatchNorm adds: per layer and resolution a gather of means, variances and counts, and a sum in backward.

    Counted on the network, because torch has no such layer for CPUs; the head's layer sees all crops at once.
    """
    net = SwavNet(arch)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    in_trunk = sum(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    calls = 2 * (num_groups * in_trunk + len(layers) - in_trunk)
    channels = sum(layer.num_features for layer in layers) / max(1, len(layers))
    name = "SyncBatchNorm, node" if within_node else "SyncBatchNorm, world"
    return Traffic(name=name, calls=calls, num_bytes=4 * 2 * channels, within_node=within_node)


class Collectives(TorchDispatchMode):
    """Calls and bytes of every collective that passes torch's dispatcher inside the block."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and let it pass."""
        if func.namespace == "c10d" and "allreduce" in func.__name__:
            self.sizes[sum(tensor.numel() * tensor.element_size() for tensor in args[0])] += 1
        return func(*args, **(kwargs or {}))


def _step_of_rank(rank: int, ranks: int, meeting: str, setting: tuple[str, int, int], sender: Any) -> None:
    torch.set_num_threads(1)
    world = World(rank=rank, size=ranks, local_rank=rank, device=torch.device("cpu"), rendezvous=meeting)
    with process_group(world, timeout_seconds=_PATIENCE):
        found = _counted(world, *setting)
        if world.is_main:
            sender.send(found)
        dist.barrier()


def _counted(world: World, arch: str, num_prototypes: int, num_crops: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    model = SwavNet(arch, num_prototypes=num_prototypes)
    net = wrap(model, world, sync_bn="off")
    assert isinstance(net, DistributedDataParallel)
    buckets: list[int] = []
    net.register_comm_hook(buckets, _averaged)
    with Collectives() as seen:
        train_step(
            net,
            [torch.randn(_PICTURES, num_crops, 3, 64, 64)],
            model=model,
            optimizer=Larc(model.parameters(), lr=0.1),
            queue=None,
            learning_rate=0.1,
            freeze_prototypes=False,
            swav=SwavConfig(),
            autocast_dtype=None,
        )
    prototypes = 4 * model.prototypes.weight.numel()
    codes = {size: n for size, n in seen.sizes.items() if size not in (prototypes, *buckets)}
    return [
        {"name": CODES, **_mean(codes)},
        {"name": GRADIENTS, "calls": len(buckets), "num_bytes": sum(buckets) / len(buckets), "is_hidden": True},
        {"name": PROTOTYPES, **_mean({prototypes: seen.sizes[prototypes]}), "is_hidden": True},
    ]


def _mean(sizes: Mapping[int, int]) -> dict[str, float]:
    calls = sum(sizes.values())
    return {"calls": calls, "num_bytes": sum(size * n for size, n in sizes.items()) / max(1, calls)}


def _averaged(buckets: list[int], bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Torch's own average, and a note of its size."""
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    buckets.append(bucket.buffer().numel() * bucket.buffer().element_size())
    everyone = dist.group.WORLD
    assert everyone is not None
    return allreduce_hook(everyone, bucket)


_averaged.__annotations__ = {"bucket": GradBucket, "return": torch.futures.Future[Tensor]}  # torch asks for them
