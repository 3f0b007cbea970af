"""What a run is made of: the parts of the model, the services around them, the plan and the clock.

Each part knows what of it belongs in a checkpoint: once for all ranks (`shared`) or by every rank (`per_rank`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pipelines.batch import Loader
from swav_dali.config.sections import RunConfig
from swav_dali.evaluate.probe import KnnProbe
from swav_dali.method.guarded import GuardedOptimizer
from swav_dali.method.queue import FeatureQueue
from swav_dali.method.scale import LossScale
from swav_dali.model.net import SwavNet
from swav_dali.ranks.leaving import Leaving
from swav_dali.ranks.world import World
from swav_dali.run.checkpoint import Stateful
from swav_dali.run.data_guard import DataGuard
from swav_dali.run.pictures import Pictures
from swav_dali.run.plan import TrainPlan
from swav_dali.run.random_state import RandomState
from swav_dali.run.saving import CheckpointWriter
from swav_dali.run.verify import ShardCheck
from swav_dali.watch.watch import Watch


@dataclass(slots=True)
class Clock:
    """Steps done and seconds trained, over all resumes."""

    step: int = 0
    seconds: float = 0.0
    probe_is_due: bool = False
    """The probe after the last step was broken off, because the run was to leave."""

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"step": self.step, "seconds": self.seconds, "probe_is_due": self.probe_is_due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over all of it; earlier versions broke no probe off."""
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.probe_is_due = bool(state.get("probe_is_due", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """What learns, and how a step of it is done."""

    model: SwavNet
    net: nn.Module
    """`model`, or its DistributedDataParallel wrapper."""
    optimizer: GuardedOptimizer
    queue: FeatureQueue | None
    autocast_dtype: torch.dtype | None
    loss_scale: LossScale | None = None
    """Of float16."""

    def shared(self) -> Mapping[str, Stateful]:
        """Weights, momentum and loss scale: equal on all ranks."""
        scale = {} if self.loss_scale is None else {"loss_scale": self.loss_scale}
        return {"model": self.model, "optimizer": self.optimizer, **scale}

    def per_rank(self) -> Mapping[str, Stateful]:
        """The queue holds a rank's own embeddings."""
        return {} if self.queue is None else {"queue": self.queue}


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What feeds the model and what looks at it."""

    loader: Loader
    probe: KnnProbe | None
    watch: Watch
    guard: DataGuard = field(default_factory=DataGuard)
    shard_check: ShardCheck | None = None
    pictures: Pictures | None = None
    """Rank 0's."""

    def refuse_changed_shards(self, *, at_the_end: bool = False) -> None:
        """Raise ShardError if a shard has been found changed; at the end all that were to be compared have been."""
        if self.shard_check is not None:
            self.shard_check.finish() if at_the_end else self.shard_check.raise_if_changed()

    def shared(self) -> Mapping[str, Stateful]:
        """The probe's floors, measured once."""
        return {} if self.probe is None else {"probe": self.probe}

    def per_rank(self) -> Mapping[str, Stateful]:
        """A rank's place in its data."""
        return {"loader": self.loader}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything the loop uses; assembled by swav_dali.run.trainer."""

    config: RunConfig
    world: World
    plan: TrainPlan
    parts: ModelParts
    services: Services
    versions: dict[str, str]
    writer: CheckpointWriter
    leaving: Leaving = field(default_factory=Leaving)
    clock: Clock = field(default_factory=Clock)

    def shared(self) -> dict[str, Stateful]:
        """What rank 0 saves for all."""
        return {**self.parts.shared(), "clock": self.clock, **self.services.shared()}

    def per_rank(self) -> dict[str, Stateful]:
        """What every rank saves for itself."""
        return {**self.services.per_rank(), "random": RandomState(self.world.device), **self.parts.per_rank()}

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.clock.step // self.plan.steps_per_epoch
