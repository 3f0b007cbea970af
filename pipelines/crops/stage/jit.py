"""How the stage's kernels are compiled: one decorator, one set of launch options, one answer to where they can run.

Triton decides when it is imported: with TRITON_INTERPRET=1 in the environment the same kernels run on CPU tensors,
number by number, for tests; without it they are compiled for the CUDA device at hand and kept on disk.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import triton

from pipelines.errors import PipelineError

kernel: Callable[[Callable[..., Any]], Any] = triton.jit(
    do_not_specialize=[
        "first"
    ],  # differs from chunk to chunk: a value of 1 or 16 must not compile a variant of its own
    do_not_specialize_on_alignment=["pixels"],
)
"""Decorator of every kernel and of what kernels call."""

EXACT = {"enable_fp_fusion": False}
"""Launch option: a * b + c rounds twice, as on the CPU. Contracted, a level in a million is another."""


def interprets() -> bool:
    """Whether kernels run on CPU tensors in this process, instead of on a CUDA device."""
    return bool(triton.knobs.runtime.interpret)


def build_launcher() -> None:
    """Let Triton compile what starts its kernels, a small C module that it keeps on disk, before anything waits for it.

    Raises:
        PipelineError: there is no C compiler, no headers of Python, or no folder to keep it in.
    """
    try:
        _ = triton.runtime.driver.active.utils
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise PipelineError(
            "Triton cannot build the launcher of its kernels",
            where="--data.crops-by gpu",
            found=" ".join(str(error).split()),
            expected="a C compiler, Python's headers and a writable TRITON_CACHE_DIR",
            fix="install them, or --data.crops-by cpu makes the same crops",
        ) from error
