"""Crop groups of published recipes by name, for presets, the bench and the pictures of `show`."""

from __future__ import annotations

import difflib

from pipelines.config import IMAGENET_CROPS, CropGroup, GroupChanges
from pipelines.errors import PipelineError

Crops = tuple[CropGroup, ...]


def _group(num: int, size: int, min_scale: float, max_scale: float, changes: GroupChanges | None = None) -> CropGroup:
    return CropGroup(num=num, size=size, min_scale=min_scale, max_scale=max_scale, changes=changes or GroupChanges())


RECIPES: dict[str, Crops] = {
    "2x224+6x96": IMAGENET_CROPS,
    "2x224+4x96": (_group(2, 224, 0.14, 1.0), _group(4, 96, 0.05, 0.14)),
    "2x160+4x96": (_group(2, 160, 0.08, 1.0), _group(4, 96, 0.05, 0.14)),
    "2x224": (_group(2, 224, 0.08, 1.0),),
    "1x224+1x224+6x96": (
        _group(1, 224, 0.14, 1.0, GroupChanges(blur=1.0)),
        _group(1, 224, 0.14, 1.0, GroupChanges(blur=0.1, solarize=0.2)),
        _group(6, 96, 0.05, 0.14),
    ),
    "2x64+4x32": (_group(2, 64, 0.3, 1.0), _group(4, 32, 0.08, 0.3)),
    "2x32+4x16": (
        _group(2, 32, 0.3, 1.0, GroupChanges(blur=0.0)),
        _group(4, 16, 0.1, 0.3, GroupChanges(blur=0.0)),
    ),
}
"""The first four are the reference's; then two views that differ in blur and solarization as BYOL's do (arXiv
2006.07733), and two for sets of small pictures, where a blur of two pixels would leave nothing."""


def crops_of_recipe(name: str) -> Crops:
    """The crop groups called `name`; raises PipelineError with the nearest name."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise PipelineError("no such crops", where="--crops", found=name, expected=" | ".join(RECIPES), fix=hint)
    return RECIPES[name]
