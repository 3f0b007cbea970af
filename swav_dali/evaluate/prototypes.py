"""What the prototypes stand for: the nearest one of every image, its code, and which prototypes are dead or double.

Free functions of tensors; the reading, the files and the sheet of pictures are in swav_dali.commands.assign.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swav_dali.method.codes import sinkhorn

DUPLICATE_COSINE = 0.99
"""Prototypes closer than this are one: the released 800-epoch model has pairs of cosine 1."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Images on prototypes.

    Attributes:
        nearest: int64 (images,), the prototype of the highest score.
        score: float32 (images,), that score, a cosine.
        code: int64 (images,), the prototype with the largest share of the image's code.
        share: float32 (images,), that share, in [0, 1].
    """

    nearest: Tensor
    score: Tensor
    code: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True)
class Assigned:
    """A whole set on the prototypes of a network.

    Attributes:
        ids, labels: int64 (images,), as in FeatureBank.
        images: where each image is.
        num_images: by prototype, int64 (prototypes,); 0 is a dead one.
        same_as: by prototype, the first one that it is a duplicate of, itself if of none; int64 (prototypes,).
        head, num_heads: whose prototypes these are, counted from 0, and of how many.
    """

    ids: Tensor
    labels: Tensor
    images: Assignment
    num_images: Tensor
    same_as: Tensor
    head: int
    num_heads: int

    def summary(self) -> str:
        """How many prototypes are used, dead and double, in one line; of which head, if there are several."""
        total = len(self.num_images)
        dead = int((self.num_images == 0).sum())
        double = int((self.same_as != torch.arange(total, device=self.same_as.device)).sum())
        top = 100 * float(self.num_images.max()) / len(self.ids)
        of_head = f"head {self.head} of 0 to {self.num_heads - 1}: " if self.num_heads > 1 else ""
        return (
            f"{of_head}{len(self.ids)} images on {total - dead} of {total} prototypes, {dead} dead, "
            f"{double} duplicates (cosine {DUPLICATE_COSINE} and above), the most popular has {top:.1f} % of the images"
        )


@torch.no_grad()
def assign(embeddings: Tensor, prototypes: Tensor, *, epsilon: float, iterations: int, window: int) -> Assignment:
    """Nearest prototype and code of every image.

    A code shares prototypes out equally over the images it is computed with, so it depends on them: images are taken
    `window` at a time, in their order.

    Args:
        embeddings: float32 (images, dim), unit rows.
        prototypes: float32 (prototypes, dim), unit rows.
        epsilon: entropy regulariser of the codes, as in training.
        iterations: of Sinkhorn, as in training.
        window: images that share the prototypes out among them.
    """
    parts = []
    for rows in embeddings.split(window):
        scores = rows @ prototypes.T
        codes = sinkhorn(scores[None], epsilon, iterations)[0]
        parts.append((*scores.max(1), *codes.max(1)))
    score, nearest, share, code = (torch.cat(column) for column in zip(*parts, strict=True))
    return Assignment(nearest, score, code, share)


def duplicate_of(prototypes: Tensor) -> Tensor:
    """The first prototype that each is a duplicate of, itself if it is none; int64 (prototypes,).

    Args:
        prototypes: float32 (prototypes, dim), unit rows.
    """
    is_same = (prototypes @ prototypes.T >= DUPLICATE_COSINE).fill_diagonal_(True)
    return is_same.int().argmax(1)


def nearest_images(assignment: Assignment, prototype: int, count: int) -> Tensor:
    """Up to `count` images of `prototype`, the surest first; int64, places in the assignment."""
    members = (assignment.nearest == prototype).nonzero().flatten()
    order = assignment.score[members].argsort(descending=True, stable=True)
    return members[order[:count]]
