"""What stands between the reader and the decoder in every graph: a picture with a damaged header stops here.

DALI's decoder may crash the process on such a picture (pipelines.reading.kernels_guard), where these operators raise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

from pipelines.compiled.cache import SETUP_SIGNATURE, compiled_entry
from pipelines.compiled.loaded_operator import LoadedOperator
from pipelines.reading.kernels_guard import run_guard


def guarded(encoded: DataNode) -> tuple[DataNode, DataNode]:
    """The same pictures, to be decoded, and their shapes.

    Args:
        encoded: uint8 (bytes,) on the CPU.

    Returns:
        `encoded`, without a copy; and int64 (3,), height, width and channels before any EXIF rotation. The batch
        fails before anything behind this node sees it when a header is damaged.
    """
    shapes = fn.peek_image_shape(encoded, adjust_orientation=False)
    answers: DataNode = do_not_convert(_answers)(encoded, shapes)
    return fn.reshape(encoded, rel_shape=answers), shapes  # the shape 0 x bytes does not hold them, an error


def bounded(encoded: DataNode, shapes: DataNode, most_stretched: float) -> DataNode:
    """`encoded`, without a copy, where no side is longer than so many times the other; otherwise the batch fails.

    Args:
        encoded: uint8 (bytes,) on the CPU.
        shapes: int64 (3,), height and width first.
        most_stretched: the longer side over the shorter. Resizing the shorter makes the longer as many times its size.
    """
    sides = fn.cast(shapes, dtype=types.FLOAT)[0:2]
    is_within = fn.reductions.max(sides) <= fn.reductions.min(sides) * float(most_stretched)
    return fn.reshape(encoded, rel_shape=fn.stack(fn.cast(is_within, dtype=types.FLOAT)))


def _answers(encoded: DataNode, shapes: DataNode) -> DataNode:
    """float32 (1,): 1 where the picture may be decoded, else 0."""
    operator: Any = LoadedOperator(
        run_fn=run_guard,
        setup_fn=_shape_function(),
        out_types=[types.FLOAT],
        in_types=[types.UINT8, types.INT64],
        outs_ndim=[1],
        ins_ndim=[1, 1],
    )
    answers: DataNode = operator(encoded, shapes)
    return answers


@lru_cache  # keeps the machine code alive as long as a pipeline may call it
def _shape_function() -> Any:
    def setup(
        out_shapes: Any, out_ndims: Any, num_outs: int, in_shapes: Any, in_ndims: Any, num_ins: int, num_samples: int
    ) -> None:
        for sample in range(num_samples):
            out_shapes[sample][0] = 1

    return compiled_entry(setup, SETUP_SIGNATURE)
