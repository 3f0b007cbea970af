"""Pictures of a run: rows of small JPEGs with a line of text, one file a gallery, for the report and for wandb.

`pictures/crops.json` holds crops of the first batch as the network saw them, `pictures/prototypes-….json` the images
nearest to prototypes. They are written by rank 0 and are the truth, as metrics.jsonl is for figures.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from shards.host.atomic import write_whole

FOLDER = "pictures"
CROPS = f"{FOLDER}/crops.json"
_LARGEST, _GAP, _QUALITY = 112, 2, 80


@dataclass(frozen=True, slots=True)
class Row:
    """Pictures side by side, as one JPEG, and what they are."""

    caption: str
    jpeg: bytes

    def picture(self) -> Image.Image:
        """The pictures, decoded."""
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


@dataclass(frozen=True, slots=True)
class Gallery:
    """Rows of one kind, of one step.

    Attributes:
        name: of its kind, `crops` or `prototypes`.
        step: steps done when it was drawn.
        title: a line for people.
        rows: the pictures.
    """

    name: str
    step: int
    title: str
    rows: Sequence[Row]


def draw_crops(groups: Sequence[Tensor], mean: Sequence[float], std: Sequence[float], *, step: int) -> Gallery:
    """All crops of the first images of a batch, at their sizes relative to each other.

    Args:
        groups: as in MultiCropBatch, cut to the images that are to be drawn, (images, crops, 3, size, size).
        mean: that the pixels were normalized with, by channel, in [0, 1].
        std: the same.
        step: steps done.
    """
    scale = min(1.0, _LARGEST / groups[0].shape[-1])
    rows = [
        Row(f"picture {number + 1}", strip([shrink(crop, scale) for group in groups for crop in group[number]]))
        for groups, number in ((levels(groups, mean, std), number) for number in range(len(groups[0])))
    ]
    kinds = "+".join(f"{group.shape[1]}x{group.shape[-1]}" for group in groups)
    return Gallery("crops", step, f"Crops {kinds} of the first pictures, as the network saw them", rows)


def levels(groups: Sequence[Tensor], mean: Sequence[float], std: Sequence[float]) -> list[Tensor]:
    """Normalized pixels as levels from 0 to 255, float32 on the CPU."""
    by_channel = torch.tensor([mean, std])[:, :, None, None]
    return [((group.detach().float().cpu() * by_channel[1] + by_channel[0]) * 255).clamp(0, 255) for group in groups]


def shrink(picture: Tensor, scale: float) -> Tensor:
    """(3, h, w) smaller by `scale`."""
    if scale == 1:
        return picture
    return functional.interpolate(picture[None], scale_factor=scale, mode="bilinear", antialias=True)[0]


def strip(pictures: Sequence[Tensor]) -> bytes:
    """Pictures (3, h, w) of levels side by side, from their tops, as a JPEG on white."""
    width = sum(picture.shape[2] + _GAP for picture in pictures) - _GAP
    canvas = Image.new("RGB", (width, max(picture.shape[1] for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        canvas.paste(Image.fromarray(picture.round().byte().permute(1, 2, 0).numpy()), (left, 0))
        left += picture.shape[2] + _GAP
    box = io.BytesIO()
    canvas.save(box, "JPEG", quality=_QUALITY)
    return box.getvalue()


def write_gallery(gallery: Gallery, path: Path) -> None:
    """Write it, whole or not at all; raises OSError."""
    rows = [{"caption": row.caption, "jpeg": base64.b64encode(row.jpeg).decode()} for row in gallery.rows]
    content = {"name": gallery.name, "step": gallery.step, "title": gallery.title, "rows": rows}
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(content).encode())


def read_gallery(path: Path) -> Gallery:
    """Read one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no gallery.
    """
    content: dict[str, Any] = json.loads(path.read_bytes())
    try:
        rows = [Row(str(row["caption"]), base64.b64decode(row["jpeg"], validate=True)) for row in content["rows"]]
        return Gallery(str(content["name"]), int(content["step"]), str(content["title"]), rows)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no gallery: {error!r}") from error


def galleries(folder: Path) -> list[tuple[Path, Gallery]]:
    """The galleries of a run folder that can be read, with their files, by step."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            found.append((path, read_gallery(path)))
        except (OSError, ValueError):  # half a file of another system is no picture
            continue
    return sorted(found, key=lambda pair: pair[1].step)
