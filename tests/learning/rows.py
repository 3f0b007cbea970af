"""The rows of docs/learning.md: a recipe, its pictures, and how many seeds make a figure of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe on one set.

    Attributes:
        title: what a reader sees.
        preset: of `train.py`.
        data: folder with train/ and validation/, below the working folder.
        source: command that makes `data`; SRC in it stands for the folder of pictures that the user has.
        seeds: of the runs.
        flags: what differs from the preset.
    """

    title: str
    preset: str
    data: str
    source: str
    seeds: tuple[int, ...]
    flags: tuple[str, ...] = ()


ROWS = {
    "demo": Row(
        title="drawn pictures, 12 classes, 2,400 + 600",
        preset="demo",
        data="data/demo",
        source="python -m shards demo data/demo",
        seeds=(1, 2, 3, 4, 5),
    ),
    "imagenette": Row(
        title="Imagenette (160 px), 10 classes, 9,469 + 3,925 photos",
        preset="small",
        data="data/imagenette",
        source="python -m shards build SRC data/imagenette",
        seeds=(1, 2, 3),
    ),
}
