"""The crop kernels as one DALI operator, and its shape function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from nvidia.dali import types
from nvidia.dali.data_node import DataNode

from pipelines.compiled.cache import SETUP_SIGNATURE, compiled_entry
from pipelines.compiled.loaded_operator import LoadedOperator
from pipelines.crops.kernels import run_operator

MOST_GROUPS = 4
"""DALI's operator takes six inputs; the image and the output's description are two of them."""


def crop_operator(
    parameters: Sequence[DataNode], images: DataNode, output: DataNode, *, sizes: tuple[int, ...], out_type: Any
) -> list[DataNode]:
    """Run `kernels.run_operator` on every sample: one node (num, size, size, 3) of `out_type` per group."""
    groups = len(sizes)
    operator: Any = LoadedOperator(
        run_fn=run_operator,
        setup_fn=_shape_function(sizes),
        out_types=[out_type] * groups,
        in_types=[types.FLOAT] * groups + [types.UINT8, types.FLOAT],
        outs_ndim=[4] * groups,
        ins_ndim=[2] * groups + [3, 1],
    )
    outputs = operator(*parameters, images, output)
    return [outputs] if groups == 1 else list(outputs)


@lru_cache  # keeps the machine code alive as long as a pipeline may call it
def _shape_function(sizes: tuple[int, ...]) -> Any:
    """DALI's shape function: parameters (num, columns) of each group -> (num, size, size, 3)."""

    def setup(
        out_shapes: Any, out_ndims: Any, num_outs: int, in_shapes: Any, in_ndims: Any, num_ins: int, num_samples: int
    ) -> None:
        for group in range(len(sizes)):
            for sample in range(group * num_samples, (group + 1) * num_samples):
                shape = out_shapes[sample]
                shape[0] = in_shapes[sample][0]
                shape[1] = sizes[group]
                shape[2] = sizes[group]
                shape[3] = 3

    return compiled_entry(setup, SETUP_SIGNATURE)
