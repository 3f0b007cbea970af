"""Classifiers trained on augmented pictures: the published linear protocol, and fine-tuning with few labels.

Both show a picture as one random crop (area 8 to 100 %) and its mirror image. With a frozen trunk it is the published
linear evaluation: one layer, SGD with momentum 0.9, a cosine per epoch. With a trunk that learns too, under a smaller
rate, it is the semi-supervised one: rates fall to a fifth at three and four fifths of the epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from pipelines.batch import Loader
from pipelines.config import Augmentation, CropGroup, LoaderOptions, resolve_crops_by
from pipelines.images import ImagePlan
from pipelines.loader import open_loader
from shards.tars.shardset import ShardSet
from swav_dali.evaluate.session import Session
from swav_dali.ranks.device import threads_per_rank
from swav_dali.ranks.group import sum_over_ranks

_MOMENTUM = 0.9
_FALL = 0.2
_FALLS = (0.6, 0.8)
_SMALLEST_AREA = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneOptions:
    """How a classifier is trained.

    Attributes:
        epochs: passes over the labelled images.
        batch_size: images per step and rank; fewer where there are fewer.
        trunk_rate: learning rate of the trunk; 0 freezes it.
        head_rate: learning rate of the classifier.
        weight_decay: on whatever learns.
        seed: of the classifier's weights, the order and the crops.
    """

    epochs: int
    batch_size: int
    trunk_rate: float
    head_rate: float
    weight_decay: float
    seed: int = 31


class Classifier(nn.Module):
    """A trunk and one linear layer: (batch, 3, size, size) -> logits (batch, classes)."""

    def __init__(self, trunk: nn.Module, num_features: int, num_classes: int, *, is_frozen: bool) -> None:
        """Weights of the layer are drawn from N(0, 0.01); a frozen trunk keeps its running statistics."""
        super().__init__()
        self.trunk = trunk.requires_grad_(not is_frozen)
        self.head = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._is_frozen = is_frozen

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._is_frozen):
            features = self.trunk(images)
        logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> Classifier:
        """As nn.Module.train, but for a frozen trunk."""
        super().train(mode)
        if self._is_frozen:
            self.trunk.eval()
        return self


def train_classifier(
    session: Session, train: ShardSet, num_classes: int, options: FinetuneOptions
) -> tuple[Classifier, list[float]]:
    """A trained classifier and the mean loss of every epoch; collective.

    Raises:
        PipelineError: fewer images than one global batch.
    """
    torch.manual_seed(options.seed)
    model = session.network.model
    classifier = Classifier(model.trunk, model.num_features, num_classes, is_frozen=options.trunk_rate == 0).to(
        session.world.device
    )
    net = _parallel(classifier, session)
    groups = [{"params": list(classifier.head.parameters()), "lr": options.head_rate}]
    if options.trunk_rate:
        groups.append({"params": list(classifier.trunk.parameters()), "lr": options.trunk_rate})
    optimizer = torch.optim.SGD(groups, momentum=_MOMENTUM, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: _factor(epoch, options))
    loader = _open(session, train, options)
    try:
        losses = []
        for _ in range(options.epochs):
            losses.append(_epoch(net.train(), loader, optimizer, session))
            schedule.step()
    finally:
        loader.close()
    return classifier.eval(), losses


@torch.no_grad()
def classify(session: Session, classifier: Classifier, validation: ShardSet, *, tops: tuple[int, ...]) -> list[float]:
    """Share of the validation images whose label is among the largest logits, in [0, 1], for each of `tops`."""
    bank = session.computed(validation, lambda images: {"logits": classifier(images)})
    best = bank.features["logits"].topk(max(tops), dim=1).indices == bank.labels[:, None]
    counts = torch.stack([best[:, :top].any(1).sum() for top in tops] + [torch.tensor(len(bank), device=best.device)])
    *hits, total = sum_over_ranks(counts).tolist()
    return [hit / total for hit in hits]


def _parallel(classifier: Classifier, session: Session) -> nn.Module:
    """SyncBatchNorm where it exists and something learns, as the published fine-tuning has it."""
    world = session.world
    if world.size == 1:
        return classifier
    is_cuda = world.device.type == "cuda"
    if is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(classifier)
    device_ids = [world.device] if is_cuda else None
    return DistributedDataParallel(classifier, device_ids=device_ids, broadcast_buffers=False)


def _epoch(net: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer, session: Session) -> float:
    total = torch.zeros((), device=session.world.device)
    for batch in loader:
        loss = functional.cross_entropy(net(batch.groups[0][:, 0]), batch.labels.to(total.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return float(sum_over_ranks(total)) / loader.steps_per_epoch / session.world.size


def _factor(epoch: int, options: FinetuneOptions) -> float:
    if options.trunk_rate == 0:
        return 0.5 * (1 + math.cos(math.pi * epoch / options.epochs))
    return _FALL ** sum(epoch >= share * options.epochs for share in _FALLS)


def _open(session: Session, shards: ShardSet, options: FinetuneOptions) -> Loader:
    plan, world = session.plan, session.world
    return open_loader(
        shards,
        crops=(CropGroup(num=1, size=plan.size, min_scale=_SMALLEST_AREA, max_scale=1.0),),
        augment=_flips_only(plan),
        crops_by=resolve_crops_by("auto", on_cuda=world.device.type == "cuda"),
        batch_size=min(options.batch_size, max(shards.num_samples // world.size, 1)),
        rank=world.rank,
        world_size=world.size,
        seed=options.seed,
        device=world.device,
        options=LoaderOptions(threads=session.threads or threads_per_rank(world.ranks_per_node)),
    )


def _flips_only(plan: ImagePlan) -> Augmentation:
    return Augmentation(jitter=0, gray=0, blur=0, mean=plan.mean, std=plan.std)
