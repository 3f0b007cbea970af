"""Who is timed against whom: the head, the optimizer, or a whole step, each beside the published loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.config import CropGroup
from shards.harness.turns import Contestant, Turn, stopwatch
from swav_dali.bench.plain import PlainHead, PlainLarc
from swav_dali.config.sections import SwavConfig
from swav_dali.errors import TrainingError
from swav_dali.method.codes import assign_codes
from swav_dali.method.larc import Larc
from swav_dali.method.loss import swapped_loss
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.step import StepResult, train_step
from swav_dali.model.net import SwavNet

PLAIN, OURS, COMPILED, SCORING = "published loop", "ours", "ours, compiled", "scoring the queue alone"
FORWARD_BACKWARD = "forward and backward"
DIM = 128
LARGEST_DIFFERENCE = 1e-6
_SETTINGS = {"lr": 0.1, "weight_decay": 1e-6}
_TRUST = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a step is made of.

    Attributes:
        arch: trunk of `optimizer` and `step`.
        crops: crops of a picture.
        batch_size: pictures of a step.
        num_prototypes: rows of scores.
        queue: rows kept per assigned crop; 0 for none.
        epsilon: of the codes.
        repeats: steps of a turn.
        device: where all of it happens.
        with_compiled: also time our head through torch.compile.
    """

    arch: str
    crops: Sequence[CropGroup]
    batch_size: int
    num_prototypes: int
    queue: int
    epsilon: float
    repeats: int
    device: torch.device
    with_compiled: bool

    @property
    def swav(self) -> SwavConfig:
        """The method's options."""
        return SwavConfig(epsilon=self.epsilon)


def head(setting: Setting) -> list[Contestant]:
    """Codes, loss and its gradient for the scores, given embeddings and scores; the queue is scored by each.

    Raises:
        TrainingError: the losses differ by more than 1e-6.
    """
    embeddings, prototypes, rows = _made_embeddings(setting)
    scores = embeddings @ prototypes.T

    def one(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
        leaf = scores.detach().requires_grad_()
        value = loss(embeddings, leaf, prototypes)
        value.backward()
        return float(value.detach()) if setting.device.type == "cpu" else 0.0

    losses = {PLAIN: PlainHead(rows, setting.swav).loss, OURS: _ours(setting, rows)}
    if setting.with_compiled:
        losses[COMPILED] = _ours(setting, rows, torch.compile(_codes_and_loss, dynamic=False))
    refuse_other_losses({name: float(loss(embeddings, scores, prototypes)) for name, loss in losses.items()})
    runs: dict[str, Callable[[], object]] = {name: partial(one, loss) for name, loss in losses.items()}
    if rows is not None:
        runs[SCORING] = lambda: rows @ prototypes.T
    return [contestant(name, run, setting) for name, run in runs.items()]


def optimizer(setting: Setting) -> list[Contestant]:
    """LARC over all parameters of the network, with the same gradients every time."""
    return [
        contestant(PLAIN, *_larc_step(setting, lambda p: PlainLarc(p, trust=_TRUST, **_SETTINGS).step)),
        contestant(OURS, *_larc_step(setting, lambda p: Larc(p, trust_coefficient=_TRUST, **_SETTINGS).step)),
    ]


def step(setting: Setting) -> list[Contestant]:
    """A whole training step, and what of it is the network's own."""
    _, _, rows = _made_embeddings(setting)
    groups = _made_groups(setting)
    plain, bare = (_made_net(setting) for _ in range(2))
    _, ours_step = made_step(setting)
    plain_head, plain_larc = PlainHead(rows, setting.swav), PlainLarc(plain.parameters(), trust=_TRUST, **_SETTINGS)

    def plain_step() -> None:
        plain.normalize_prototypes_()
        embeddings, scores = plain(groups)
        plain_larc.sgd.zero_grad()
        plain_head.loss(embeddings.detach(), scores, plain.prototypes.weight.detach()).backward()
        plain_larc.step()

    def forward_backward() -> None:
        bare.zero_grad()
        bare(groups)[1].sum().backward()

    runs: dict[str, Callable[[], object]] = {PLAIN: plain_step, OURS: ours_step, FORWARD_BACKWARD: forward_backward}
    return [contestant(name, run, setting) for name, run in runs.items()]


def made_step(setting: Setting) -> tuple[SwavNet, Callable[..., StepResult]]:
    """A fresh network and a training step of it on noise; the step takes what times it as `timed`."""
    _, _, rows = _made_embeddings(setting)
    net = _made_net(setting)
    step_of_net = partial(
        train_step,
        net,
        _made_groups(setting),
        model=net,
        optimizer=Larc(net.parameters(), trust_coefficient=_TRUST, **_SETTINGS),
        queue=_made_queue(setting, rows),
        learning_rate=_SETTINGS["lr"],
        freeze_prototypes=False,
        swav=setting.swav,
        autocast_dtype=None,
    )
    return net, step_of_net


def refuse_other_losses(losses: dict[str, float]) -> None:
    """Raise TrainingError where a loss is not the published loop's: then there is nothing to time."""
    for name, loss in losses.items():
        if not abs(loss - losses[PLAIN]) <= LARGEST_DIFFERENCE * abs(losses[PLAIN]):
            raise TrainingError("the losses differ", where=name, found=loss, expected=losses[PLAIN])


def _codes_and_loss(scores: Tensor, prototypes: Tensor, queued: Tensor | None, swav: SwavConfig) -> Tensor:
    codes = assign_codes(scores.detach(), prototypes, queued=queued, swav=swav)
    return swapped_loss(scores, codes, swav.assign_crops, swav.temperature)


def _ours(
    setting: Setting, rows: Tensor | None, codes_and_loss: Callable[..., Tensor] = _codes_and_loss
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    queue, swav = _made_queue(setting, rows), setting.swav
    sound = torch.zeros((), dtype=torch.bool, device=setting.device)

    def loss(embeddings: Tensor, scores: Tensor, prototypes: Tensor) -> Tensor:
        value = codes_and_loss(scores, prototypes, None if queue is None else queue.rows, swav)
        if queue is not None:
            queue.push(torch.stack([embeddings[crop] for crop in swav.assign_crops]), unless=sound)
        return value

    return loss


def _larc_step(
    setting: Setting, made: Callable[[list[nn.Parameter]], Callable[[], object]]
) -> tuple[Callable[[], object], Setting, Callable[[], None]]:
    params = list(_made_net(setting).parameters())
    generator = torch.Generator().manual_seed(0)
    grads = [1e-3 * torch.randn(param.shape, generator=generator).to(setting.device) for param in params]
    scaled = [torch.empty_like(param) for param in params]

    def prepare() -> None:
        torch._foreach_copy_(scaled, grads)  # a step scales them in place

    for param, grad in zip(params, scaled, strict=True):
        param.grad = grad
    prepare()
    return made(params), setting, prepare


def _made_embeddings(setting: Setting) -> tuple[Tensor, Tensor, Tensor | None]:
    """Unit rows: of the crops (crops, batch, dim), the prototypes, and the queue (assigned, rows, dim)."""
    generator = torch.Generator().manual_seed(0)

    def rows(*shape: int) -> Tensor:
        return functional.normalize(torch.randn(*shape, DIM, generator=generator), dim=-1).to(setting.device)

    num_crops = sum(group.num for group in setting.crops)
    embeddings, prototypes = rows(num_crops, setting.batch_size), rows(setting.num_prototypes)
    return embeddings, prototypes, rows(len(setting.swav.assign_crops), setting.queue) if setting.queue else None


def _made_queue(setting: Setting, rows: Tensor | None) -> FeatureQueue | None:
    if rows is None:
        return None
    queue = FeatureQueue(
        length=rows.shape[1],
        num_assign=rows.shape[0],
        embedding_dim=DIM,
        batch_size=setting.batch_size,
        world_size=1,
        device=setting.device,
    )
    queue.load_state_dict({"embeddings": rows, "num_filled": rows.shape[1]})
    return queue


def _made_net(setting: Setting) -> SwavNet:
    torch.manual_seed(0)
    net = SwavNet(setting.arch, embedding_dim=DIM, num_prototypes=setting.num_prototypes)
    return net.to(memory_format=torch.channels_last).to(setting.device)


def _made_groups(setting: Setting) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(setting.batch_size, group.num, 3, group.size, group.size) for group in setting.crops]
    return [torch.randn(shape, generator=generator).to(setting.device) for shape in shapes]


def contestant(
    name: str, run: Callable[[], object], setting: Setting, prepare: Callable[[], None] = lambda: None
) -> Contestant:
    """Takes part with `setting.repeats` calls of `run` a turn."""
    run()  # kernels are chosen, or compiled, before anything is timed
    return Contestant(
        name=name,
        parallel=torch.get_num_threads(),
        run=partial(_turn, run, setting),
        prepare=prepare,
        label=f"{name}, {setting.repeats} steps",
    )


def _turn(run: Callable[[], object], setting: Setting) -> Turn:
    elapsed = stopwatch()
    for _ in range(setting.repeats):
        run()
    if setting.device.type == "cuda":
        torch.cuda.synchronize()
    return elapsed(setting.repeats)
