"""The crop stage in Triton's interpreter, in a process of its own: the interpreter is chosen when triton is imported.

Run as a script it answers requests from standard input until that ends; `Interpreter` is the other side.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from crop_cases import LEVELS

ROOM = "pipelines.crops.stage"


class Change(NamedTuple):
    """A text of one of the room's modules, and what stands there instead."""

    module: str
    text: str
    instead: str


@dataclass(frozen=True)
class Request:
    """One group of crops; fields as CropStage's and its `make`'s."""

    images: Sequence[np.ndarray]
    rows: Sequence[np.ndarray]
    size: int
    affine: np.ndarray = field(default_factory=lambda: LEVELS)
    precision: str = "float32"
    scratch_mib: int = 1024
    changes: tuple[Change, ...] = ()


class Interpreter:
    """Starts the process; closes it as a context manager."""

    def __init__(self, *, checks_overflow: bool = False) -> None:
        """Every sum and product of integers can be checked not to leave its type, which takes twice the time."""
        self._arguments = ["--check-overflow"] if checks_overflow else []

    def __enter__(self) -> Interpreter:
        environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parent)))
        command = [sys.executable, __file__, *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def crops(self, images: Sequence[np.ndarray], rows: Sequence[np.ndarray], size: int, **others: Any) -> np.ndarray:
        """(batch, num, size, size, 3) as float32, or the bits of 16-bit floats as uint16."""
        request = Request(images, rows, size, **others)
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        made = pickle.load(self._process.stdout)
        if isinstance(made, str):
            raise RuntimeError(made)
        return made

    def levels(self, images: Sequence[np.ndarray], rows: Sequence[np.ndarray], size: int) -> np.ndarray:
        """All crops as one uint8 stack, as pipelines.parity.compare wants them."""
        return self.crops(images, rows, size).reshape(-1, size, size, 3).astype(np.uint8)


def changed(change: Change) -> ModuleType:
    """Import one module of the room with another text in place of its own, under its own name."""
    name = f"{ROOM}.{change.module}"
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text()
    assert source.count(change.text) == 1, change
    folder = Path(tempfile.mkdtemp())
    file = folder / f"{change.module}.py"
    file.write_text(source.replace(change.text, change.instead))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _answer(request: Request) -> Any:
    for name in [name for name in sys.modules if name.startswith(f"{ROOM}.")]:
        if request.changes:
            del sys.modules[name]
    for change in request.changes:
        changed(change)
    try:
        return made(request, torch.device("cpu"))
    finally:
        for name in [name for name in sys.modules if name.startswith(f"{ROOM}.")]:
            if request.changes:
                del sys.modules[name]


def made(request: Request, device: torch.device) -> np.ndarray:
    """(batch, num, size, size, 3) as float32, or the bits of 16-bit floats as uint16, made here on `device`."""
    from pipelines.config import CropGroup
    from pipelines.crops.stage.pictures import Pictures
    from pipelines.crops.stage.stage import CropStage

    sizes = np.array([image.size for image in request.images])
    pictures = Pictures(
        pixels=torch.from_numpy(np.concatenate([image.ravel() for image in request.images])).to(device),
        starts=np.cumsum(sizes) - sizes,
        heights=np.array([image.shape[0] for image in request.images]),
        widths=np.array([image.shape[1] for image in request.images]),
    )
    rows = np.stack(request.rows).astype(np.float32)
    group = CropGroup(num=rows.shape[1], size=request.size, min_scale=1.0, max_scale=1.0)
    stage = CropStage(
        [group],
        request.affine,
        device=device,
        precision=request.precision,
        scratch_mib=request.scratch_mib,
    )
    crops = stage.make(pictures, [rows])[0].cpu()
    return crops.numpy() if crops.dtype == torch.float32 else crops.view(torch.int16).numpy().view(np.uint16)


def _serve() -> None:
    from triton.runtime.interpreter import interpreter_builder

    checks = "--check-overflow" in sys.argv
    interpreter_builder.options = replace(interpreter_builder.options, sanitize_overflow=checks)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between the answers
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            made: Any = _answer(request)
        except Exception as error:
            made = f"{type(error).__name__}: {error}"
        pickle.dump(made, answers)
        answers.flush()


if __name__ == "__main__":
    sys.modules["interpreted"] = sys.modules["__main__"]  # requests are pickled by this name
    _serve()
