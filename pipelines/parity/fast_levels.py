"""Crops by `dali` as levels, from given images and parameters: to look at and to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def
from nvidia.dali.data_node import DataNode

from pipelines.config import Augmentation, CropGroup
from pipelines.crops.fast import fast_crops

Array = np.ndarray[Any, Any]

_LEVELS = Augmentation(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255), solarize=1.0)


def fast_levels(images: Sequence[Array], rows: Sequence[Array], size: int) -> Array:
    """Every crop of every image, uint8 (images * num, size, size, 3).

    Args:
        images: uint8 (height, width, 3) each.
        rows: float32 (num, exact_parameters.COLUMNS) for each image, num the same for all.
        size: side of the crops.
    """
    group = CropGroup(num=len(rows[0]), size=size, min_scale=1.0, max_scale=1.0)
    pipeline = _graph(list(images), list(rows), group, batch_size=len(images), num_threads=1, device_id=None)
    pipeline.build()
    (crops,) = pipeline.run()
    levels: Array = np.rint(np.array(crops.as_tensor())).clip(0, 255).astype(np.uint8)
    return levels.reshape(-1, size, size, 3)


def _fast_graph(images: list[Array], rows: list[Array], group: CropGroup) -> tuple[DataNode, ...]:
    pictures = fn.external_source(source=lambda: images, layout="HWC")
    parameters = fn.external_source(source=lambda: rows)
    return tuple(fast_crops(pictures, [parameters], crops=[group], augment=_LEVELS, device="cpu"))


_graph: Any = pipeline_def(enable_conditionals=True)(_fast_graph)
