"""The evaluations themselves: from a session and two labelled shard sets to figures and the lines that tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shards.tars.shardset import ShardSet
from swav_dali.evaluate.features import FeatureBank
from swav_dali.evaluate.finetune import FinetuneOptions, classify, train_classifier
from swav_dali.evaluate.knn import knn_accuracies
from swav_dali.evaluate.linear import LinearOptions, accuracies, train_heads
from swav_dali.evaluate.session import Session
from swav_dali.evaluate.subset import labelled_part
from swav_dali.exchange.kinds import LAST
from swav_dali.ranks.group import sum_over_ranks
from swav_dali.ranks.world import World

_FEW = 5
_LINEAR_DECAY = 1e-6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation found: its protocol's name, figures for a program, and lines for a person."""

    protocol: str
    figures: dict[str, Any]
    lines: list[str]


def linear(
    session: Session, train: ShardSet, validation: ShardSet, num_classes: int, *, options: LinearOptions
) -> Outcome:
    """Top-1 and top-5 of every head; every rank trains its share of them on the features of all; collective.

    The best head is the best on the validation set, as in the published figures, which is a little in its favour.
    """
    learnt, scored = (session.features(shards, gathered=True) for shards in (train, validation))
    table = sum_over_ranks(_scores(learnt, scored, num_classes, options, session.world)).tolist()
    heads = [
        {"features": name, "rate": rate, "top1": top1, "top5": top5}
        for name, rows in zip(learnt.features, table, strict=True)
        for rate, (top1, top5) in zip(options.rates, rows, strict=True)
    ]
    best = max(heads, key=_top1)
    figures = {"top1": best["top1"], "best": best, "heads": heads, "options": asdict(options)}
    bests = [max((head for head in heads if head["features"] == name), key=_top1) for name in learnt.features]
    return Outcome("linear", figures, [_line(head, num_classes) for head in bests])


def _scores(learnt: FeatureBank, scored: FeatureBank, num_classes: int, options: LinearOptions, world: World) -> Tensor:
    """Top-1 and top-5 of this rank's heads, zeros for those of others: float64 (kinds, rates, 2)."""
    part = slice(world.rank, None, world.size)
    table = torch.zeros(len(learnt.features), len(options.rates), 2, dtype=torch.float64, device=scored.labels.device)
    for place, (name, features) in enumerate(learnt.features.items()):
        heads = train_heads(features, learnt.labels, num_classes=num_classes, options=options, part=part)
        for column, top in enumerate((1, min(_FEW, num_classes))):
            found = accuracies(heads, scored.features[name], scored.labels, top=top)
            table[place, part, column] = table.new_tensor(found)
    return table


def _top1(head: dict[str, Any]) -> float:
    return float(head["top1"])


def _line(head: dict[str, Any], num_classes: int) -> str:
    few = min(_FEW, num_classes)
    top1, top5 = 100 * head["top1"], 100 * head["top5"]
    return f"  linear, {head['features']}: top-1 {top1:.1f} %, top-{few} {top5:.1f} % (rate {head['rate']:g})"


def published_linear(
    session: Session, train: ShardSet, validation: ShardSet, num_classes: int, *, epochs: int, rate: float
) -> Outcome:
    """One head on augmented pictures, at `rate` for a global batch of 256; collective."""
    share = session.batch_size * session.world.size / 256
    options = FinetuneOptions(
        epochs=epochs,
        batch_size=session.batch_size,
        trunk_rate=0,
        head_rate=rate * share,
        weight_decay=_LINEAR_DECAY,
    )
    return _classified("linear-published", session, (train, validation), num_classes, options)


def semisup(
    session: Session,
    train: ShardSet,
    validation: ShardSet,
    num_classes: int,
    *,
    labels: float | Path,
    options: FinetuneOptions,
) -> Outcome:
    """Fine-tuning of the whole network on the labelled part; collective."""
    with labelled_part(train, labels, seed=options.seed) as part:
        outcome = _classified("semisup", session, (part, validation), num_classes, options)
        figures = {**outcome.figures, "labels": str(labels), "labelled_images": part.num_samples}
    return replace(outcome, figures=figures)


def _classified(
    protocol: str, session: Session, sets: tuple[ShardSet, ShardSet], num_classes: int, options: FinetuneOptions
) -> Outcome:
    train, validation = sets
    few = min(_FEW, num_classes)
    classifier, losses = train_classifier(session, train, num_classes, options)
    top1, top5 = classify(session, classifier, validation, tops=(1, few))
    figures = {"top1": top1, "top5": top5, "losses": losses, "options": asdict(options)}
    line = f"  {protocol}, {train.num_samples} labelled images: top-1 {100 * top1:.1f} %, top-{few} {100 * top5:.1f} %"
    return Outcome(protocol, figures, [line])


def knn(
    session: Session,
    train: ShardSet,
    validation: ShardSet,
    num_classes: int,
    *,
    neighbours: Sequence[int],
    temperature: float,
) -> Outcome:
    """Top-1 for every number of neighbours; the voters stay on the rank that computed them; collective."""
    voters, queries = (session.features(shards, gathered=False) for shards in (train, validation))
    top1 = knn_accuracies(
        functional.normalize(queries.features[LAST], dim=1),
        queries.labels,
        functional.normalize(voters.features[LAST], dim=1),
        voters.labels,
        num_classes=num_classes,
        neighbours=neighbours,
        temperature=temperature,
        world=session.world,
    )
    figures = {"top1": {str(k): value for k, value in zip(neighbours, top1, strict=True)}, "temperature": temperature}
    rows = [f"  kNN, {k} neighbours: top-1 {100 * value:.1f} %" for k, value in zip(neighbours, top1, strict=True)]
    return Outcome("knn", figures, rows)
