"""Compiles the stage's kernels for cards that are not here: machine text, registers, spills, shared memory."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pipelines.config import CropGroup, Precision
from pipelines.crops import parameters as p
from pipelines.crops.stage import stage
from pipelines.crops.stage.jobs import SCRATCH_MIB
from pipelines.crops.stage.pictures import Pictures

KERNELS = ("fill_tables", "resize", "distort", "blur_down", "finish")
_TYPES = {
    torch.uint8: "u8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.float16: "fp16",
    torch.float32: "fp32",
}


class Launch(NamedTuple):
    """One kernel with everything the stage gave it."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """One kernel for one card; registers a thread, stack and shared memory in bytes."""

    name: str
    ptx: str
    registers: int
    stack: int
    shared: int


def launches_of(
    crops: Sequence[CropGroup], *, precision: Precision, images: int = 2, scratch_mib: int = SCRATCH_MIB
) -> list[Launch]:
    """What the stage would launch on a device for small black pictures, nothing of it run."""
    seen: list[Launch] = []

    def recorder(name: str) -> Any:
        class Recorder:
            def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
                return lambda *given, **options: seen.append(Launch(kernels[name], grid, given, options))

        return Recorder()

    kernels = {name: getattr(stage, name) for name in KERNELS}
    affine, cpu = np.ones((2, 3), np.float32), torch.device("cpu")
    rows = [np.zeros((images, group.num, p.COLUMNS), np.float32) for group in crops]
    for each in rows:
        each[:, :, [p.HEIGHT, p.WIDTH]] = 16
    starts, side = 768 * np.arange(images), np.full(images, 16)
    pictures = Pictures(torch.zeros(768 * images, dtype=torch.uint8), starts, side, side)
    with patch.object(stage, "interprets", return_value=True):
        made = stage.CropStage(crops, affine, device=cpu, precision=precision, scratch_mib=scratch_mib)
    with patch.multiple(stage, **{name: recorder(name) for name in KERNELS}):
        made.make(pictures, rows)
    return seen


def compiler_missing() -> str:
    """Why nothing can be compiled for CUDA here, or an empty text."""
    try:
        found = Path(triton.knobs.nvidia.ptxas.path)
    except RuntimeError as error:
        return f"no ptxas: {error}"
    return "" if found.exists() else f"no ptxas at {found}"


def compile_for(capability: int, launch: Launch, **options: Any) -> Compiled:
    """Compile for compute capability `capability` / 10, with the launch's options but for those given."""
    kernel, constants, signature, attributes = launch.kernel, {}, {}, {}
    for place, (parameter, given) in enumerate(zip(kernel.params, launch.arguments, strict=True)):
        if parameter.is_constexpr:
            signature[parameter.name], constants[parameter.name] = "constexpr", given
        elif isinstance(given, torch.Tensor):
            signature[parameter.name] = f"*{_TYPES[given.dtype]}"
            if not parameter.do_not_specialize_on_alignment:
                attributes[(place,)] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32"
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={**launch.options, **options})
    registers, stack = _resources(made.asm["cubin"])
    return Compiled(f"{kernel.__name__} {constants['SIZE']}", made.asm["ptx"], registers, stack, made.metadata.shared)


def loose_arithmetic(ptx: str) -> list[str]:
    """Kinds of instructions in the text that round otherwise than a CPU, or that may yet be contracted."""
    kinds = {
        "fma": r"\bfma\.",
        "div.full": r"\bdiv\.(full|approx)",
        "approximation": r"\.approx",
        "unrounded": r"\b(add|sub|mul)\.(ftz\.)?f(32|64)\b",
    }
    return [kind for kind, pattern in kinds.items() if re.search(pattern, ptx)]


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers a thread and bytes of stack; without its stack a kernel has spilled nothing."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout)
    assert found, said.stdout
    return int(found[1]), int(found[2])
