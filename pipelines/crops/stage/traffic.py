"""What the stage costs a device, counted from shapes: bytes that cross its memory, and launches.

Every array is counted once for each kernel that reads it and once for each that writes it: what neighbouring
programs read twice comes from the caches. Crops that skip the jitter or the blur skip its traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.config import CropGroup, Precision
from pipelines.crops import parameters as p
from pipelines.crops.stage.columns import PLACES, REACH
from pipelines.crops.stage.jobs import SCRATCH_MIB, images_at_once, table_lengths

Array = np.ndarray[Any, Any]
MOST_MEGABYTES_AN_IMAGE = 8.0
MOST_LAUNCHES = 12
"""What two groups of a batch that is one chunk may take; a third group has five of its own."""
_LAUNCHES = 5
_DESCRIBED = 4 * p.COLUMNS + 8 * PLACES + 4 * REACH


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one batch."""

    bytes: int
    launches: int


def traffic(
    crops: Sequence[CropGroup], rows: Sequence[Array], *, precision: Precision, scratch_mib: int = SCRATCH_MIB
) -> Traffic:
    """Bytes and launches of the batch that `rows`, per group float32 (batch, num, COLUMNS), describe."""
    width = 4 if precision == "float32" else 2
    chunks = (-(-len(each) // images_at_once(group, scratch_mib)) for group, each in zip(crops, rows, strict=True))
    return Traffic(
        bytes=sum(
            _bytes(each.reshape(-1, p.COLUMNS), group.size, width) for group, each in zip(crops, rows, strict=True)
        ),
        launches=_LAUNCHES * sum(chunks),
    )


def _bytes(rows: Array, size: int, width: int) -> int:
    """One group's; `width` bytes a number of the batch."""
    window = rows[:, p.HEIGHT : p.WIDTH + 1].astype(np.int64)
    numbers = 3 * size * size  # of a crop
    jittered, blurred = int((rows[:, p.JITTER] > 0).sum()), int((rows[:, p.SIGMA] > 0).sum())
    described = len(rows) * _DESCRIBED * (1 + _LAUNCHES)  # sent, and read by every kernel at most
    tables = 4 * (int(table_lengths(window, size).sum()) + 2 * size * len(rows))
    resize = tables + 3 * int(window.prod(axis=1).sum()) + numbers * len(rows)
    distort = 2 * numbers * jittered
    blur_down = (1 + 4) * numbers * blurred
    finish = numbers * (4 * blurred + (len(rows) - blurred) + width * len(rows))
    return int(described + tables + resize + distort + blur_down + finish)
