"""Every crop of a batch from its decoded pictures and drawn parameters: five launches a group, nothing drawn.

    DALI: read, decode, draw  ->  pictures, rows
    fill_tables  resize's weights of every window
    resize       window to crop, colour up to the contrast, the gray sum       -> bytes
    distort      colour from the contrast on, gray                             -> bytes, in place
    blur_down    the blur's first direction, where there is one                -> float32
    finish       its second direction, solarize, normalize                     -> the batch

The same numbers as pipelines.crops.kernels gives on a CPU, level for level. The stage remembers nothing between
batches, so a saved position is the graph's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.config import CropGroup, Precision
from pipelines.crops.stage.blur import blur_down, finish
from pipelines.crops.stage.color import distort
from pipelines.crops.stage.held import Held
from pipelines.crops.stage.jit import EXACT, build_launcher, interprets
from pipelines.crops.stage.jobs import SCRATCH_MIB, Jobs, SentJobs, images_at_once, plan_jobs, send
from pipelines.crops.stage.pictures import Pictures, pictures_of
from pipelines.crops.stage.resize import resize
from pipelines.crops.stage.tables import fill_tables
from pipelines.errors import PipelineError

Array = np.ndarray[Any, Any]
_LARGEST_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Tiles:
    """How much of a crop one program makes: pixels, or high and wide."""

    table: int
    resize: tuple[int, int]
    distort: int
    blur: tuple[int, int]


ON_DEVICE = Tiles(table=32, resize=(8, 32), distort=256, blur=(4, 128))
"""Few registers, no spills on compute capability 8.0, 9.0 and 10.0."""


def whole_crops(size: int) -> Tiles:
    """As near to one program a crop as the interpreter's largest block allows: it pays per program."""
    side, row = (1 << (length - 1).bit_length() for length in (size, 3 * size))
    high = min(side, _LARGEST_BLOCK // row)
    return Tiles(table=side, resize=(high, side), distort=high * side, blur=(high, row))


class CropStage:
    """Makes batches on one device; see the module for how."""

    def __init__(
        self,
        crops: Sequence[CropGroup],
        affine: Array,
        *,
        device: torch.device,
        precision: Precision = "float32",
        scratch_mib: int = SCRATCH_MIB,
    ) -> None:
        """Compile nothing yet: the first batch does, for half a second a kernel, once on a machine.

        Args:
            crops: the groups, in the order of the rows and of the batch.
            affine: float32 (2, 3), scale and offset of each channel for levels 0 to 255, see exact.normalization.
            device: where the pictures lie and the batch is wanted.
            precision: type of the batch.
            scratch_mib: see jobs.SCRATCH_MIB.

        Raises:
            PipelineError: the device is a CPU and the kernels are not interpreted, or nothing can be compiled here.
        """
        if device.type != "cuda" and not interprets():
            raise PipelineError(
                "crops as a stage of GPU kernels need a CUDA device",
                where="--data.crops-by",
                found=str(device),
                fix="--data.crops-by cpu makes the same crops",
            )
        if device.type == "cuda":
            build_launcher()
        self._crops, self._device = tuple(crops), device
        self._dtype: torch.dtype = getattr(torch, precision)
        self._affine = torch.tensor(affine, dtype=torch.float32, device=device)
        self._scratch_mib = scratch_mib
        self._held = Held()

    def __call__(self, pictures: Any, rows: Sequence[Any]) -> tuple[Tensor, ...]:
        """The crops of a batch from DALI's outputs, ordered on torch's current stream.

        Args:
            pictures: list of uint8 (height, width, 3), on the device.
            rows: per group the list of drawn parameters, float32 (num, COLUMNS), on the CPU.

        Returns:
            Per group (batch, num, 3, size, size), each crop channels_last.
        """
        made = self.make(pictures_of(pictures), [np.array(group.as_tensor()) for group in rows])
        return tuple(group.permute(0, 1, 4, 2, 3) for group in made)

    def make(self, pictures: Pictures, rows: Sequence[Array]) -> tuple[Tensor, ...]:
        """Per group the crops (batch, num, size, size, 3) that float32 `rows` (batch, num, COLUMNS) describe.

        Raises:
            PipelineError: a window reaches beyond its picture.
        """
        planned = [
            plan_jobs(pictures, each, group.size, at_once=images_at_once(group, self._scratch_mib))
            for group, each in zip(self._crops, rows, strict=True)
        ]
        with self._on_device():
            sent = send(planned, self._device)
            made = tuple(
                self._make_group(group, pictures.pixels, jobs, tables)
                for group, jobs, tables in zip(self._crops, planned, sent, strict=True)
            )
            self._keep_until_read(pictures.pixels)
        return made

    def _make_group(self, group: CropGroup, pixels: Tensor, jobs: Jobs, sent: SentJobs) -> Tensor:
        crops, size, at_once = len(jobs.rows), group.size, images_at_once(group, self._scratch_mib) * group.num
        out = torch.empty(
            (crops // group.num, group.num, size, size, 3),
            dtype=torch.int16 if self._dtype == torch.bfloat16 else self._dtype,
            device=self._device,
        )
        for chunk, first in enumerate(range(0, crops, at_once)):
            self._make_chunk(pixels, sent, out, first, min(at_once, crops - first), jobs.table_sizes[chunk])
        return out.view(self._dtype)

    def _make_chunk(self, pixels: Tensor, sent: SentJobs, out: Tensor, first: int, crops: int, weights: int) -> None:
        """The five launches for `crops` crops from `first` on; `weights` numbers fill their tables."""
        size, rows, places, gauss = out.shape[2], sent.rows, sent.places, sent.gauss
        tiles = whole_crops(size) if interprets() else ON_DEVICE
        taken, totals, table = (self._int32(n) for n in (crops * 2 * size, crops, weights))
        levels = torch.empty((crops, size, size, 3), dtype=torch.uint8, device=self._device)
        tall = torch.empty(levels.shape, dtype=torch.float32, device=self._device)
        options: dict[str, Any] = {"num_warps": 4, **EXACT}
        fill_tables[(crops, 2, _parts(size, tiles.table))](
            rows, places, taken, table, totals, first, size, tiles.table, **options | {"num_warps": 1}
        )
        resize[(crops, _parts(size, tiles.resize[0]) * _parts(size, tiles.resize[1]))](
            pixels, rows, places, taken, table, totals, levels, first, size, *tiles.resize, **options
        )
        distort[(crops, _parts(size * size, tiles.distort))](
            rows, places, totals, levels, first, size, tiles.distort, **options
        )
        blur_grid = (crops, _parts(size, tiles.blur[0]) * _parts(3 * size, tiles.blur[1]))
        blur_down[blur_grid](levels, places, gauss, tall, first, size, *tiles.blur, **options)
        as_bits = out.dtype == torch.int16
        finish[blur_grid](
            levels, tall, rows, places, gauss, self._affine, out, first, size, *tiles.blur, as_bits, **options
        )

    def _int32(self, count: int) -> Tensor:
        return torch.empty(count, dtype=torch.int32, device=self._device)

    def _on_device(self) -> AbstractContextManager[Any]:
        """Triton launches on torch's current device."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _keep_until_read(self, pixels: Tensor) -> None:
        """Hold DALI's memory until the kernels enqueued so far are done with it."""
        if self._device.type == "cuda":
            done = torch.cuda.Event()
            done.record()
            self._held.until(done, pixels)


def _parts(length: int, part: int) -> int:
    return -(-length // part)
