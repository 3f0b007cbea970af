"""What the kernels must know of every crop, worked out on the host for a whole batch and sent in one copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.config import CropGroup
from pipelines.crops import parameters as p
from pipelines.crops.stage import columns as c
from pipelines.crops.stage.gauss import blur_weights
from pipelines.crops.stage.pictures import Pictures
from pipelines.errors import PipelineError

Array = np.ndarray[Any, Any]

SCRATCH_MIB = 1024
"""Memory for what is between the kernels, enough for 700 images of 2x224; larger batches are made in chunks."""

ORDER_CODES = (p.ORDERS << (2 * np.arange(4))).sum(axis=1)
"""(24,): every order of the four operations as two bits each, the first in the lowest."""
_CONTRAST_AT = np.argmax(p.ORDERS == 1, axis=1)
_ALIGNMENT = 256


@dataclass(frozen=True, slots=True)
class Jobs:
    """The crops of one group, image by image; N = batch * num.

    Attributes:
        rows: float32 (N, COLUMNS), the drawn parameters.
        places: int64 (N, PLACES), see columns.
        gauss: float32 (N, REACH), blur weights.
        table_sizes: resize weights of each chunk.
    """

    rows: Array
    places: Array
    gauss: Array
    table_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SentJobs:
    """The tables of `Jobs` on the device; fields as there."""

    rows: Tensor
    places: Tensor
    gauss: Tensor


def images_at_once(group: CropGroup, scratch_mib: int) -> int:
    """Images of a chunk: bytes after the resize and float32 within the blur fit the scratch, or it is one image."""
    return max(1, scratch_mib * 2**20 // (group.num * 3 * group.size**2 * (1 + 4)))


def plan_jobs(pictures: Pictures, rows: Array, size: int, *, at_once: int) -> Jobs:
    """The crops of one group from its drawn parameters.

    Args:
        pictures: what the windows are cut from.
        rows: float32 (batch, num, COLUMNS).
        size: side of the crops.
        at_once: images of a chunk; tables of weights begin anew with each.

    Raises:
        PipelineError: a window reaches beyond its picture; the device would read foreign memory.
    """
    num = rows.shape[1]
    flat = np.ascontiguousarray(rows.reshape(-1, p.COLUMNS))
    window = flat[:, p.TOP : p.WIDTH + 1].astype(np.int64)
    image = np.repeat(np.arange(len(rows)), num)
    _refuse_windows_outside(window, pictures.heights[image], pictures.widths[image])
    order, jitters = flat[:, p.ORDER].astype(np.int64), flat[:, p.JITTER] > 0
    gauss, radii = blur_weights(flat[:, p.SIGMA], size)
    places = np.empty((len(flat), c.PLACES), np.int64)
    places[:, c.PITCH] = 3 * pictures.widths[image]
    places[:, c.START] = pictures.starts[image] + window[:, p.TOP] * places[:, c.PITCH] + 3 * window[:, p.LEFT]
    places[:, c.TABLES : c.TABLES + 2], table_sizes = _tables(window[:, p.HEIGHT :], size, num * at_once)
    places[:, c.ORDER] = ORDER_CODES[order]
    places[:, c.BEFORE] = np.where(jitters, _CONTRAST_AT[order], 0)
    places[:, c.OPERATIONS] = np.where(jitters, 4, 0)
    places[:, c.RADIUS] = radii
    return Jobs(rows=flat, places=places, gauss=gauss, table_sizes=table_sizes)


def table_lengths(window: Array, size: int) -> Array:
    """Weights in the table of each axis: `window` int64 (N, 2) is height and width, the answer has the same shape."""
    lengths: Array = size * np.maximum(-(-2 * window // size), 2)
    return lengths


def _tables(window: Array, size: int, at_once: int) -> tuple[Array, tuple[int, ...]]:
    """Where each crop's two tables begin within their chunk of `at_once` crops, and the length of each chunk's."""
    lengths = table_lengths(window, size)
    chunks = [lengths[first : first + at_once] for first in range(0, len(lengths), at_once)]
    starts = [(np.cumsum(chunk) - chunk.ravel()).reshape(chunk.shape) for chunk in chunks]
    return np.concatenate(starts), tuple(int(chunk.sum()) for chunk in chunks)


def _refuse_windows_outside(window: Array, heights: Array, widths: Array) -> None:
    top, left, height, width = window.T
    is_inside = (np.minimum(top, left) >= 0) & (np.minimum(height, width) >= 1)
    is_inside &= (top + height <= heights) & (left + width <= widths)
    if is_inside.all():
        return
    crop = int(np.flatnonzero(~is_inside)[0])
    raise PipelineError(
        "a crop's window reaches beyond its decoded picture",
        where=f"crop {crop} of the batch",
        found=f"top, left, height, width {window[crop].tolist()}",
        expected=f"within {heights[crop]} x {widths[crop]}",
        fix="the picture's header and its data disagree: check the shards",
    )


def send(jobs: Sequence[Jobs], device: torch.device) -> list[SentJobs]:
    """All groups' jobs on `device`, in one copy from pinned memory that does not wait for the device."""
    arrays = [array for group in jobs for array in (group.rows, group.places, group.gauss)]
    ends = np.cumsum([-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays])
    begins = [0, *ends[:-1].tolist()]
    packed = torch.empty(int(ends[-1]), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for array, begin in zip(arrays, begins, strict=True):
        packed[begin : begin + array.nbytes].numpy()[:] = array.reshape(-1).view(np.uint8)
    sent = packed.to(device, non_blocking=True)
    views = iter(
        sent[begin : begin + array.nbytes].view(torch.from_numpy(array[:0]).dtype).view(array.shape)
        for array, begin in zip(arrays, begins, strict=True)
    )
    return [SentJobs(rows=next(views), places=next(views), gauss=next(views)) for _ in jobs]
