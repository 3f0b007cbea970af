"""A DALI operator whose machine code is loaded, not compiled.

`nvidia.dali.plugin.numba` wraps and compiles a Python function anew in every pipeline, three seconds each. The
operator behind it only wants the addresses of two C functions, so this subclass hands it those of
`kernels_cache.compiled_entry`, from the disk cache.
"""

from __future__ import annotations

from typing import Any

from nvidia.dali.plugin.numba import NumbaFunction


class LoadedOperator(NumbaFunction):
    """DALI's numba operator, given compiled functions where it expects Python ones."""

    def _get_run_fn_cpu(self, run_fn: Any, *_: Any) -> int:
        return int(run_fn.address)

    def _get_setup_fn_cpu(self, setup_fn: Any) -> int:
        return int(setup_fn.address)
