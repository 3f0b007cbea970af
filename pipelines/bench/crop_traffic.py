"""What crops by the GPU cost it, as a sentence beside the limits; counted from shapes, so that no GPU is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.config import Augmentation, CropGroup, Precision
from pipelines.crops.stage.traffic import MOST_LAUNCHES, MOST_MEGABYTES_AN_IMAGE, Traffic, traffic
from pipelines.parity.distributions import drawn_rows

PICTURE = (375, 500, 3)
"""The usual size of ImageNet's photographs."""


def counted_traffic(
    crops: Sequence[CropGroup], augment: Augmentation, *, batch_size: int, precision: Precision
) -> Traffic:
    """Of one batch of PICTUREs with drawn parameters."""
    pictures = [np.broadcast_to(np.uint8(0), PICTURE)] * batch_size  # only their shapes are read
    rows = [np.stack(drawn_rows(pictures, group, augment, seed=1)) for group in crops]
    return traffic(crops, rows, precision=precision)


def traffic_sentence(
    crops: Sequence[CropGroup], augment: Augmentation, *, batch_size: int, precision: Precision = "bfloat16"
) -> str:
    """Megabytes an image and launches a batch, each with its limit."""
    counted = counted_traffic(crops, augment, batch_size=batch_size, precision=precision)
    megabytes = counted.bytes / batch_size / 1e6
    return (
        f"crops by gpu: {megabytes:.1f} MB of memory traffic an image (limit {MOST_MEGABYTES_AN_IMAGE:.0f}), "
        f"{counted.launches} launches a batch of {batch_size} (limit {MOST_LAUNCHES}); "
        f"counted for {PICTURE[1]} x {PICTURE[0]} pictures and {precision}"
    )
