"""Steps of the method on tiny networks, for tests that look at what a step leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from swav_dali.config.sections import SwavConfig
from swav_dali.method.larc import Larc
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.step import StepResult, train_step
from swav_dali.model.net import SwavNet
from swav_dali.ranks.ddp import wrap
from swav_dali.ranks.world import World

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
BATCH = 8
_PLAIN: dict[str, Any] = {
    "queue": None,
    "learning_rate": 0.5,
    "freeze_prototypes": False,
    "swav": SwavConfig(),
    "autocast_dtype": None,
}


def one_step(net: nn.Module, groups: Sequence[Tensor], **changes: Any) -> StepResult:
    """`train_step` without queue, frozen prototypes or autocast but for `changes`, which name model and optimizer."""
    return train_step(net, list(groups), **{**_PLAIN, **changes})


def crops(seed: int, batch: int = 4) -> list[Tensor]:
    """Two crops of 32 and one of 16 pixels of every image, as noise."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, n, 3, s, s, generator=generator) for n, s in ((2, 32), (1, 16))]


class Float64Run:
    """A float64 net with a queue on one of `world`'s ranks, which share out batches of 8."""

    def __init__(
        self,
        world: World = ALONE,
        *,
        heads: int | Sequence[int] = 10,
        micro_batches: int = 1,
        frozen_norm: bool = True,
    ) -> None:
        torch.manual_seed(0)
        self.world, self.micro_batches = world, micro_batches
        self.model = SwavNet("tiny", embedding_dim=16, hidden_dim=32, num_prototypes=heads).double()
        for name, buffer in self.model.named_buffers():
            if name.endswith("running_var"):  # near those of the activations, or nothing but noise reaches the head
                buffer.fill_(0.5)
        self.net = wrap(self.model, world, sync_bn="off").train(not frozen_norm)
        self.optimizer = Larc(self.model.parameters(), lr=0.0, trust_coefficient=0.02)
        self.queue = FeatureQueue(
            length=2 * BATCH,
            num_assign=2,
            embedding_dim=16,
            batch_size=BATCH // world.size,
            world_size=world.size,
            device=world.device,
            dtype=torch.float64,
        )

    def groups(self, number: int) -> list[Tensor]:
        """This rank's part of batch `number`."""
        return [group.double().chunk(self.world.size)[self.world.rank] for group in crops(number, BATCH)]

    def step(self, number: int, groups: list[Tensor] | None = None, *, freeze: bool = False) -> StepResult:
        """One step on batch `number`, or on `groups`."""
        return one_step(
            self.net,
            self.groups(number) if groups is None else groups,
            model=self.model,
            optimizer=self.optimizer,
            queue=self.queue,
            freeze_prototypes=freeze,
            micro_batches=self.micro_batches,
        )

    def weights(self) -> Tensor:
        """All parameters as one vector."""
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()])
