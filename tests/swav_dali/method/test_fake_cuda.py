"""A whole step on CUDA tensors that hold no numbers: no device is mixed, nothing comes back to the host, few launches.

Backward itself wants a real device, so its operators are counted on fake CPU tensors, and gradients are put in by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swav_dali.config.sections import SwavConfig
from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.sound import SOUND, Undo, backward, culprit
from swav_dali.method.step import forward_loss, update
from swav_dali.model.net import SwavNet
from swav_dali.watch.health import Health
from swav_dali.watch.meter import Meter

BATCH = 4
SWAV = SwavConfig()
CROPS = ((2, 224), (6, 96))
NO_WORK = {
    "device",
    "promote_types",
    "empty",
    "empty_like",
    "view",
    "_unsafe_view",
    "permute",
    "transpose",
    "t",
    "unbind",
    "select",
    "slice",
    "split",
    "detach",
    "alias",
}
NO_WORK |= {"expand", "unsqueeze", "squeeze", "as_strided", "split_with_sizes", "lift_fresh"}


class Launches(TorchDispatchMode):
    """Counts operators by part, and notes what mixes devices or asks the host."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Counter[str]] = {}
        self.offences: list[str] = []
        self._part = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._part = name
        self.parts.setdefault(name, Counter())
        yield
        self._part = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "item", "equal"):
            self.offences.append(f"{self._part}: {name} waits for the device")
        if name == "_fused_sgd_":  # has no form for tensors without numbers; moves its arguments in place
            out = None
        elif name == "bincount":  # asks the host for its length, which is why only log steps have it
            out = args[0].new_empty(args[-1])
        else:
            out = func(*args, **(kwargs or {}))
        if self._part and name not in NO_WORK:
            self.parts[self._part][name] += launches_of(name, args)
            self._look(
                name, [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)], tree_leaves(out)
            )
        return out

    def _look(self, name: str, given: list[Tensor], made: list[Any]) -> None:
        sides = {each.device.type for each in given if each.dim() > 0 or each.device.type != "cpu"}
        answers = {each.device.type for each in made if isinstance(each, Tensor)}
        if len(sides) > 1 or (sides and answers and answers != sides):
            self.offences.append(f"{self._part}: {name} from {sorted(sides)} to {sorted(answers)}")

    def count(self, name: str) -> int:
        return sum(self.parts[name].values())


def launches_of(name: str, args: Any) -> int:
    """One, but for a foreach over two lists of other shapes, which goes through them one by one."""
    lists = [arg for arg in args if isinstance(arg, list)]
    if not name.startswith("_foreach") or len(lists) < 2:
        return 1
    is_alike = all(one.shape == other.shape for one, other in zip(*lists[:2], strict=True))
    return 1 if is_alike else len(lists[0])


def fake_net(device: str) -> SwavNet:
    with torch.device(device):
        net = SwavNet("resnet50")
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight = torch.nn.Parameter(module.weight.detach().contiguous(memory_format=torch.channels_last))
    return net


def crops(device: str, dtype: torch.dtype | None) -> list[Tensor]:
    made = [torch.randn(BATCH, num, side, side, 3, device=device, dtype=dtype or torch.float32) for num, side in CROPS]
    return [each.permute(0, 1, 4, 2, 3) for each in made]


@pytest.fixture
def as_if_there_were_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast asks the driver before it believes in CUDA."""
    monkeypatch.setattr(torch.amp.autocast_mode.torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)


@pytest.mark.usefixtures("as_if_there_were_a_gpu")
@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("queue_length", [0, 8 * BATCH])
def test_a_step_on_fake_cuda_tensors_never_leaves_the_device(
    autocast: torch.dtype | None, queue_length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeTensorMode(), Launches() as launches:
        net, queue = fake_net("cuda"), fake_queue(queue_length)
        optimizer, meter, health = Larc(net.parameters(), lr=0.1), Meter(), Health()
        groups = crops("cuda", autocast)
        for _ in range(2):  # the second step, which is counted, finds momentum and a meter that has counted
            launches.parts.clear()
            step_of(net, queue, optimizer, meter, health, groups, autocast, launches)
        with launches.part("health, at log steps"):
            figures = health.figures(net.prototypes.weight)
    assert {each.device.type for each in figures.values()} == {"cuda"}
    assert not launches.offences
    parts = {name: launches.count(name) for name in launches.parts}
    with capsys.disabled():
        print(f"\noperators a step, autocast {autocast}, queue {queue_length}: {parts}")
    assert parts["forward"] < 700
    assert parts["codes and loss"] < 100
    assert parts["optimizer"] < 200  # the ratios of LARC are multiplied in tensor by tensor
    assert parts["guard and queue"] < 40
    assert parts["meter"] < 25
    assert parts["health"] < 40
    assert parts["health, at log steps"] < 90


def step_of(
    net: SwavNet,
    queue: FeatureQueue | None,
    optimizer: Larc,
    meter: Meter,
    health: Health,
    groups: list[Tensor],
    autocast: torch.dtype | None,
    launches: Launches,
) -> None:
    """As swav_dali.method.step.train_step, with made-up gradients in place of backward's."""

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        with launches.part("forward" if name == "forward" else "codes and loss"):
            yield

    with launches.part("guard and queue"):
        before = Undo([*net.buffers(), net.prototypes.weight])
        net.normalize_prototypes_()
    queued = queue.embeddings if queue is not None else None
    made = forward_loss(
        net, groups, net.prototypes.weight, queued=queued, swav=SWAV, autocast_dtype=autocast, timed=timed
    )
    assert made.embeddings.dtype == made.scores.dtype == made.codes.dtype == made.loss.dtype == torch.float32
    assert {each.device.type for each in made} == {"cuda"}
    for parameter in net.parameters():
        parameter.grad = torch.empty_like(parameter)
    with launches.part("optimizer"):
        norms = update(optimizer, learning_rate=0.1)
    with launches.part("guard and queue"):
        found = culprit(made.embeddings, made.loss.detach(), norms)
        before.undo_if(found != SOUND)
        if queue is not None:
            queue.push(torch.stack([made.embeddings[crop] for crop in SWAV.assign_crops]), unless=found != SOUND)
    with launches.part("meter"):
        meter.update(made.loss.detach(), BATCH, culprit=found)
    with launches.part("health"):
        health.update(made.embeddings, made.codes, torch.linalg.vector_norm(norms), found == SOUND)


def fake_queue(length: int) -> FeatureQueue | None:
    if length == 0:
        return None
    return FeatureQueue(
        length=length, num_assign=2, embedding_dim=128, batch_size=BATCH, world_size=1, device=torch.device("cuda")
    )


def test_backward_launches_no_more_than_forward_and_a_half(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeTensorMode(), Launches() as launches:
        net = fake_net("cpu")
        with launches.part("forward"):
            made = forward_loss(
                net, crops("cpu", None), net.prototypes.weight, queued=None, swav=SWAV, autocast_dtype=None
            )
        with launches.part("backward"):
            backward(made.loss)
    forward, back = launches.count("forward"), launches.count("backward")
    with capsys.disabled():
        print(f"\noperators a step: forward with codes and loss {forward}, backward {back}")
    assert back < 1.5 * forward


def test_the_watcher_itself_notices() -> None:
    with FakeTensorMode(), Launches() as launches:
        device = torch.randn(3, device="cuda")
        with launches.part("copied"):
            device.cpu()
        with launches.part("sent"):
            torch.randn(3).cuda()
        with launches.part("asked"), pytest.raises(DataDependentOutputException):
            device.sum().item()
    assert [offence.split(":")[0] for offence in launches.offences] == ["copied", "sent", "asked"]
