"""What prototypes stand for, to look at while a run goes: the most popular ones with their nearest pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipelines.batch import ImageBatch
from swav_dali.model.net import SwavNet
from swav_dali.watch.pictures import Gallery, Row, levels, shrink, strip

_IMAGES, _PROTOTYPES, _NEAREST, _SIDE = 512, 12, 8, 64


@torch.no_grad()
def draw_prototypes(
    model: SwavNet, batches: Iterable[ImageBatch], mean: Sequence[float], std: Sequence[float], *, step: int
) -> Gallery:
    """The prototypes that most of the first pictures are nearest to, each with the nearest of them, the surest first.

    Args:
        model: its mode is left as it was.
        batches: undistorted pictures; some hundreds are looked at.
        mean: that their pixels were normalized with, by channel.
        std: the same.
        step: steps done.
    """
    scores, thumbnails = _looked_at(model, batches, mean, std)
    surest, nearest = scores.max(1)
    counts = nearest.bincount(minlength=scores.shape[1])
    popular = counts.argsort(descending=True, stable=True)[:_PROTOTYPES].tolist()
    rows = []
    for prototype in popular:
        members = (nearest == prototype).nonzero().flatten()
        order = surest[members].argsort(descending=True, stable=True)[:_NEAREST]
        if len(members):
            caption = f"prototype {prototype}: nearest to {len(members)} of {len(scores)} pictures"
            rows.append(Row(caption, strip([thumbnails[place] for place in members[order].tolist()])))
    used = int((counts > 0).sum())
    title = f"Pictures nearest to prototypes; {used} of {len(counts)} prototypes are nearest to some of {len(scores)}"
    return Gallery("prototypes", step, title, rows)


def _looked_at(
    model: SwavNet, batches: Iterable[ImageBatch], mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, list[Tensor]]:
    """Scores (pictures, prototypes) on the CPU by the running statistics, and thumbnails (3, side, side)."""
    was_training = model.training
    model.eval()
    scores: list[Tensor] = []
    thumbnails: list[Tensor] = []
    for batch in batches:
        scores.append(model([batch.images[:, None]])[1][0].float().cpu())
        (pictures,) = levels([batch.images], mean, std)
        thumbnails += [shrink(picture, min(1.0, _SIDE / picture.shape[-1])) for picture in pictures]
        if len(thumbnails) >= _IMAGES:
            break
    model.train(was_training)
    return torch.cat(scores)[:_IMAGES], thumbnails[:_IMAGES]
