"""Compiles the stage's kernels for cards that are not here: machine text, registers, spills, shared memory."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pipelines.crops.stage.blur import blur_down, finish
from pipelines.crops.stage.color import distort
from pipelines.crops.stage.jit import EXACT
from pipelines.crops.stage.resize import resize
from pipelines.crops.stage.stage import ON_DEVICE
from pipelines.crops.stage.tables import fill_tables

TYPES = {
    "pixels": "*u8", "levels": "*u8", "rows": "*fp32", "gauss": "*fp32", "affine": "*fp32", "tall": "*fp32",
    "places": "*i64", "taken": "*i32", "weights": "*i32", "totals": "*i32", "first": "i32",
}  # fmt: skip
OUT_TYPES = ("fp32", "fp16", "i16")


@dataclass(frozen=True)
class Compiled:
    """One kernel for one card."""

    name: str
    ptx: str
    registers: int
    stack: int
    shared: int


def variants(size: int) -> Iterator[tuple[str, Any, dict[str, str], dict[str, Any], int]]:
    """Name, kernel, signature, constants and warps of everything launched for crops of `size`."""
    high, wide = ON_DEVICE.resize
    tall, row = ON_DEVICE.blur
    yield "fill_tables", fill_tables, TYPES, {"SIZE": size, "BLOCK": ON_DEVICE.table}, 1
    yield "resize", resize, TYPES, {"SIZE": size, "HIGH": high, "WIDE": wide}, 4
    yield "distort", distort, TYPES, {"SIZE": size, "BLOCK": ON_DEVICE.distort}, 4
    yield "blur_down", blur_down, TYPES, {"SIZE": size, "HIGH": tall, "WIDE": row}, 4
    for out in OUT_TYPES:
        constants = {"SIZE": size, "HIGH": tall, "WIDE": row, "AS_BITS": out == "i16"}
        yield f"finish {out}", finish, TYPES | {"out": f"*{out}"}, constants, 4


def compile_for(
    capability: int, variant: tuple[str, Any, dict[str, str], dict[str, Any], int], **options: Any
) -> Compiled:
    """Compile one variant for compute capability `capability` / 10."""
    name, kernel, types, constants, warps = variant
    signature = {each: "constexpr" if each in constants else types[each] for each in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, each in enumerate(kernel.arg_names)
        if signature[each].startswith("*") and each != "pixels"
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    made = triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps, **EXACT, **options}
    )
    registers, stack = _resources(made.asm["cubin"])
    return Compiled(name=name, ptx=made.asm["ptx"], registers=registers, stack=stack, shared=made.metadata.shared)


def _resources(cubin: bytes) -> tuple[int, int]:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", said.stdout)
    assert found, said.stdout
    return int(found[1]), int(found[2])
