"""Random draws compared as distributions: thousands of our crops against thousands of torchvision's.

Both sides see the same images as often; ours are drawn by DALI's operators, theirs by torchvision's transforms and
its own generator. Each statistic of a crop is one number, so a two-sample Kolmogorov-Smirnov test says whether the
two sets could have come from one distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.crops.exact import draw_parameters
from pipelines.parity.compare import our_crops
from pipelines.parity.reference import Array, torchvision_crops, torchvision_rows

Statistics = dict[str, Array]


def drawn_rows(images: Sequence[Array], group: CropGroup, augment: Augmentation, *, seed: int) -> list[Array]:
    """Parameters of one group drawn by the DALI graph for each image: float32 (num, COLUMNS) each."""
    pipe = Pipeline(batch_size=len(images), num_threads=1, device_id=None, seed=seed)
    with pipe:
        shapes = fn.external_source(source=lambda: [np.array(image.shape, np.int64) for image in images])
        pipe.set_outputs(*draw_parameters(shapes, crops=[group], augment=augment))
    pipe.build()
    (rows,) = pipe.run()
    return [np.array(rows.at(index)) for index in range(len(images))]


def compare_draws(
    images: Sequence[Array], group: CropGroup, augment: Augmentation, *, rounds: int, seed: int
) -> dict[str, float]:
    """P-value of each statistic over `rounds` * len(images) * group.num crops on either side."""
    generator = torch.Generator().manual_seed(seed)
    ours, theirs = [], []
    for turn in range(rounds):
        for image, rows in zip(images, drawn_rows(images, group, augment, seed=seed + turn), strict=True):
            ours.append(statistics(our_crops(image, rows, group.size), rows, image.shape))
            rows = torchvision_rows(image.shape, group, augment, generator)
            theirs.append(statistics(torchvision_crops(image, rows, group.size), rows, image.shape))
    return two_sample(joined(ours), joined(theirs))


def statistics(crops: Array, rows: Array, shape: Sequence[int]) -> Statistics:
    """One number per crop and statistic.

    Args:
        crops: uint8 (num, size, size, 3).
        rows: float32 (num, COLUMNS) they were made with.
        shape: of the image, height and width first.
    """
    height, width = shape[:2]
    top, left, high, wide = rows[:, p.TOP], rows[:, p.LEFT], rows[:, p.HEIGHT], rows[:, p.WIDTH]
    pixels = crops.astype(np.float32)
    hue, saturation = _hue_and_saturation(pixels)
    return {
        "area": high * wide / (height * width),
        "aspect": np.log(wide / high),
        "vertical position": (top + high / 2) / height,
        "horizontal position": (left + wide / 2) / width,
        **{f"mean {name}": pixels[..., c].mean((1, 2)) for c, name in enumerate(_CHANNELS)},
        **{f"spread {name}": pixels[..., c].std((1, 2)) for c, name in enumerate(_CHANNELS)},
        "saturation": saturation,
        "hue": hue,
        "sharpness": _sharpness(pixels),
    }


def joined(parts: Sequence[Statistics]) -> Statistics:
    """Statistics of several stacks of crops as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def two_sample(ours: Statistics, theirs: Statistics) -> dict[str, float]:
    """The Kolmogorov-Smirnov p-value of every statistic."""
    from scipy.stats import ks_2samp  # a test dependency: the loader works without it

    return {name: float(ks_2samp(ours[name], theirs[name]).pvalue) for name in ours}


_CHANNELS = ("red", "green", "blue")


def _hue_and_saturation(pixels: Array) -> tuple[Array, Array]:
    """Angle of the mean chroma in radians, and the mean of chroma over value."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    angle = np.arctan2((np.sqrt(3) / 2 * (green - blue)).mean((1, 2)), (red - (green + blue) / 2).mean((1, 2)))
    most, least = pixels.max(-1), pixels.min(-1)
    return angle, ((most - least) / np.maximum(most, 1)).mean((1, 2))


def _sharpness(pixels: Array) -> Array:
    """Log of the mean absolute difference of neighbouring pixels."""
    step = np.abs(np.diff(pixels, axis=1)).mean((1, 2, 3)) + np.abs(np.diff(pixels, axis=2)).mean((1, 2, 3))
    return np.asarray(np.log(step + 1e-3))
