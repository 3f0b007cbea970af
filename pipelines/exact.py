"""Exact crops inside a DALI graph: the parameters' random operators, and one compiled operator for all crops.

`draw_parameters` draws on the CPU for either device, by named operators, so that a checkpoint restores them and
both devices see the same numbers. `exact_crops` is the CPU path: `nvidia.dali.plugin.numba` runs the kernels of
pipelines.kernels on DALI's own threads, one image at a time, without the GIL. The GPU path that reads the same
parameters is pipelines.exact_arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numba import njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.plugin.numba import NumbaFunction

from pipelines.config import Augmentation, CropGroup
from pipelines.errors import PipelineError
from pipelines.kernels import write_group
from pipelines.kernels_finish import BFLOAT16, FLOAT16, FLOAT32

Precision = Literal["float32", "float16", "bfloat16"]


def draw_parameters(shapes: DataNode, *, crops: Sequence[CropGroup], augment: Augmentation) -> list[DataNode]:
    """Draw everything random about every crop of an image.

    Args:
        shapes: int (2,) or (3,) per image on the CPU, height and width first.
        crops: the groups.
        augment: probabilities and ranges, the same for all groups.

    Returns:
        One node per group, float32 (num, exact_parameters.COLUMNS) on the CPU.
    """
    return [_draw_group(shapes, group, augment, f"group{index}") for index, group in enumerate(crops)]


def _draw_group(shapes: DataNode, group: CropGroup, augment: Augmentation, name: str) -> DataNode:
    num = group.num

    def between(low: float, high: float, what: str) -> DataNode:
        return fn.random.uniform(range=[low, high], shape=[num], name=f"{name}_{what}")

    def coin(probability: float, what: str) -> DataNode:
        tossed = fn.random.coin_flip(probability=probability, shape=[num], name=f"{name}_{what}")
        return fn.cast(tossed, dtype=types.FLOAT)

    def around(strength: float, what: str) -> DataNode:
        return between(1.0 - strength, 1.0 + strength, what)

    drawn = [
        coin(augment.flip, "flip"),
        coin(augment.jitter, "jitter"),
        fn.cast(fn.random.uniform(values=list(range(24)), shape=[num], name=f"{name}_order"), dtype=types.FLOAT),
        around(augment.brightness, "brightness"),
        around(augment.contrast, "contrast"),
        around(augment.saturation, "saturation"),
        between(-augment.hue, augment.hue, "hue"),
        coin(augment.gray, "gray"),
        coin(augment.blur, "blur") * between(augment.min_sigma, augment.max_sigma, "sigma"),
    ]
    windows = [_draw_window(shapes, group, f"{name}_window{crop}") for crop in range(num)]
    return fn.cat(fn.stack(*windows, axis=0), fn.stack(*drawn, axis=1), axis=1)


def _draw_window(shapes: DataNode, group: CropGroup, name: str) -> DataNode:
    """Top, left, height, width as float32 (4,); torchvision's RandomResizedCrop draws from the same distribution."""
    anchor, shape = fn.random_crop_generator(
        shapes,
        random_area=[group.min_scale, group.max_scale],
        random_aspect_ratio=[3 / 4, 4 / 3],
        num_attempts=10,
        name=name,
    )
    return fn.cat(fn.cast(anchor, dtype=types.FLOAT), fn.cast(shape, dtype=types.FLOAT), axis=0)


def exact_crops(
    images: DataNode,
    parameters: Sequence[DataNode],
    *,
    crops: Sequence[CropGroup],
    augment: Augmentation,
    precision: Precision = "float32",
) -> list[DataNode]:
    """Cut, distort and normalize all crops of every image on the CPU.

    Args:
        images: uint8 (height, width, 3) on the CPU.
        parameters: one node per group, as drawn by `draw_parameters`.
        crops: the same groups.
        augment: mean and std are read from it.
        precision: type of the output; DALI's numba operator knows no 16-bit floats, so those come as their bits
            in uint16, to be viewed as the type by the reader of the batch.

    Returns:
        One node per group, (num, size, size, 3): HWC in memory, so a permuted view is channels_last.
    """
    if not 1 <= len(crops) <= _MOST_GROUPS:
        raise PipelineError(
            "the exact operator writes one output per crop group",
            where="--data.crops",
            found=f"{len(crops)} groups",
            expected=f"1 to {_MOST_GROUPS}",
        )
    affine = types.Constant(normalization(augment), device="cpu")
    kind, out_type = _KINDS[precision]
    groups = len(crops)
    operator: Any = NumbaFunction(
        run_fn=_run(groups, kind),
        setup_fn=_setup(tuple(group.size for group in crops)),
        out_types=[out_type] * groups,
        in_types=[types.FLOAT] * groups + [types.UINT8, types.FLOAT],
        outs_ndim=[4] * groups,
        ins_ndim=[2] * groups + [3, 2],
        batch_processing=False,
    )
    outputs = operator(*parameters, images, affine)
    return [outputs] if groups == 1 else list(outputs)


def normalization(augment: Augmentation) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Scale and offset per channel, float32 (2, 3): level * scale + offset is ToTensor and Normalize in one step."""
    mean, std = np.array(augment.mean), np.array(augment.std)
    return np.stack([1.0 / (255.0 * std), -mean / std]).astype(np.float32)


def _setup(sizes: tuple[int, ...]) -> Callable[[Any, Any], None]:
    """DALI's shape function: parameters (num, columns) of each group -> (num, size, size, 3).

    DALI 2.4 shows it only as many inputs as there are outputs, hence the parameters come first.
    """

    def setup(outs: Any, ins: Any) -> None:
        for group in range(len(sizes)):
            for sample in range(len(outs[group])):
                shape = outs[group][sample]
                shape[0] = ins[group][sample][0]
                shape[1] = sizes[group]
                shape[2] = sizes[group]
                shape[3] = 3

    return setup


def _run(groups: int, kind: int) -> Callable[..., None]:
    """DALI's run function for that many groups; DALI compiles it, so its arguments are spelled out."""

    def one(a: Any, rows_a: Any, image: Any, affine: Any) -> None:
        _write(a, rows_a, image, affine, kind)

    def two(a: Any, b: Any, rows_a: Any, rows_b: Any, image: Any, affine: Any) -> None:
        _write(a, rows_a, image, affine, kind)
        _write(b, rows_b, image, affine, kind)

    def three(a: Any, b: Any, c: Any, rows_a: Any, rows_b: Any, rows_c: Any, image: Any, affine: Any) -> None:
        _write(a, rows_a, image, affine, kind)
        _write(b, rows_b, image, affine, kind)
        _write(c, rows_c, image, affine, kind)

    return (one, two, three)[groups - 1]


@njit
def _write(out: Any, rows: Any, image: Any, affine: Any, kind: int) -> None:
    height, width, num, size = image.shape[0], image.shape[1], out.shape[0], out.shape[1]
    write_group(image.ctypes, height, width, rows.ctypes, num, affine.ctypes, kind, out.ctypes, size)


_MOST_GROUPS = 3
_KINDS = {
    "float32": (FLOAT32, types.FLOAT),
    "float16": (FLOAT16, types.UINT16),
    "bfloat16": (BFLOAT16, types.UINT16),
}
