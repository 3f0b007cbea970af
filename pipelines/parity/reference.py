"""What torchvision makes of the same drawn parameters: the yardstick of every comparison.

Two of its paths, because they differ from each other: "pillow" is what the reference trains with (8-bit hue, luma
and contrast mean rounded), "tensor" is torchvision's arithmetic on uint8 tensors after Pillow's crop and resize.
Blur is torchvision's 23-tap Gaussian in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from pipelines.config import Augmentation, CropGroup
from pipelines.crops import parameters as p
from pipelines.crops.kernels_blur import TAPS

Array = np.ndarray[Any, Any]
Path = Literal["pillow", "tensor"]

_ADJUST = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)


def torchvision_crops(image: Array, rows: Array, size: int, *, path: Path = "pillow") -> Array:
    """Every crop of uint8 `image` (height, width, 3) that `rows` (num, COLUMNS) describe: (num, size, size, 3)."""
    return np.stack([_crop(Image.fromarray(image), row, size, path) for row in rows])


def _crop(image: Any, row: Array, size: int, path: Path) -> Array:
    window = [int(value) for value in row[p.TOP : p.WIDTH + 1]]
    crop = functional.resized_crop(image, *window, [size, size])
    if row[p.FLIP]:
        crop = functional.hflip(crop)
    if path == "tensor":
        crop = functional.pil_to_tensor(crop)
    for operation, factor in _operations(row):
        crop = _ADJUST[operation](crop, factor)
    if row[p.GRAY]:
        crop = functional.rgb_to_grayscale(crop, num_output_channels=3)
    if row[p.SIGMA]:
        crop = functional.gaussian_blur(crop, [TAPS, TAPS], [float(row[p.SIGMA])] * 2)
    if row[p.SOLARIZE]:
        crop = functional.solarize(crop, 128)
    return np.asarray(crop) if path == "pillow" else np.ascontiguousarray(crop.permute(1, 2, 0).numpy())


def _operations(row: Array) -> list[tuple[int, float]]:
    """The jitter operations that do something, in order, with their factors."""
    if not row[p.JITTER]:
        return []
    factors = [(int(k), float(row[p.BRIGHTNESS + k])) for k in p.ORDERS[int(row[p.ORDER])]]
    return [(k, factor) for k, factor in factors if factor != NEUTRAL[k]]


NEUTRAL = (1.0, 1.0, 1.0, 0.0)
"""The factor of each jitter operation that changes nothing."""


def torchvision_rows(
    shape: Sequence[int], group: CropGroup, augment: Augmentation, generator: torch.Generator
) -> Array:
    """Parameters of one group drawn by torchvision's own transforms for an image of `shape` (height, width, ...)."""
    state = torch.random.get_rng_state()
    torch.random.set_rng_state(generator.get_state())
    try:
        return np.stack([_draw(shape, group, augment) for _ in range(group.num)])
    finally:
        generator.set_state(torch.random.get_rng_state())
        torch.random.set_rng_state(state)


def _draw(shape: Sequence[int], group: CropGroup, augment: Augmentation) -> Array:
    row = np.zeros(p.COLUMNS, np.float32)
    blank = torch.empty(()).expand(3, *shape[:2])  # only its shape is read
    scale = [group.min_scale, group.max_scale]
    row[p.TOP : p.WIDTH + 1] = transforms.RandomResizedCrop.get_params(blank, scale, [3 / 4, 4 / 3])
    row[[p.FLIP, p.JITTER, p.GRAY]] = [_coin(c) for c in (augment.flip, augment.jitter, augment.gray)]
    jitter = transforms.ColorJitter(augment.brightness, augment.contrast, augment.saturation, augment.hue)
    order, *factors = jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    row[p.ORDER] = int(np.flatnonzero((order.numpy() == p.ORDERS).all(1))[0])
    row[p.BRIGHTNESS : p.HUE + 1] = [
        neutral if factor is None else factor for neutral, factor in zip(NEUTRAL, factors, strict=True)
    ]
    sigma = transforms.GaussianBlur.get_params(augment.min_sigma, augment.max_sigma)
    row[p.SIGMA] = sigma if _coin(augment.blur) else 0.0
    row[p.SOLARIZE] = _coin(augment.solarize)
    return row


def _coin(probability: float) -> bool:
    return torch.rand(1).item() < probability
