"""Reading weights, whoever wrote them: a run of ours, one of its checkpoints, or a file.

Files may be flat or wrapped, with or without the prefix `module.`, with or without head and prototypes: the published
SwAV files, the reference's training checkpoints, torchvision's ResNets, safetensors, and what `export` writes. All
end as one flat dict under the published names. Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swav_dali.errors import ConfigError

_NUMBERS: list[Any] = [
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
"""What a number of NumPy is unpickled with: the reference's optimizer keeps the learning rate as one."""
_WRAPPERS = ("model", "state_dict")
_FIX = "give a run folder, one of its checkpoints, or a file of weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights and where they come from.

    Attributes:
        state: tensors on the CPU under the published names (`conv1.weight`, `layer1.0...`, `projection_head...`,
            `prototypes.weight`), without `module.`.
        file: the file they were read from.
        sha256: of that file, in hex.
        run: the run folder, if it is one of ours.
        step: steps trained, if known.
        config: the run's flattened configuration; empty for files of others.
    """

    state: dict[str, Tensor]
    file: Path
    sha256: str
    run: Path | None = None
    step: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call them: the run's name and step, or the file's."""
        return self.file.stem if self.run is None else f"{self.run.name} step {self.step}"


def read_weights(place: Path) -> Weights:
    """The weights at `place`: a run folder (its newest complete checkpoint), a checkpoint folder, or a file.

    Raises:
        ConfigError: there is nothing, nothing that holds weights, or nothing that can be read.
    """
    if not place.exists():
        raise ConfigError("no such file or folder", where=place, fix=_FIX)
    if place.is_file():
        return Weights(state=flat(load_file(place), place), file=place, sha256=_digest(place))
    if (place / "meta.json").is_file():
        return _of_checkpoint(place)
    checkpoints = [path.parent for path in sorted((place / "checkpoints").glob("step-*/meta.json"))]
    if not checkpoints:
        found = "a run without a checkpoint" if (place / "config.json").is_file() else "a folder that is no run"
        raise ConfigError("no weights here", where=place, found=found, fix=_FIX)
    return _of_checkpoint(checkpoints[-1])


def _of_checkpoint(folder: Path) -> Weights:
    file = folder / "shared.pt"
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        step, config, expected = int(meta["step"]), dict(meta["config"]), meta["files"]["shared.pt"]["sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("not a checkpoint", where=folder, found=error, fix=_FIX) from error
    if not file.is_file():
        raise ConfigError("file missing", where=file, fix="give another checkpoint of the run")
    if (digest := _digest(file)) != expected:
        raise ConfigError("bytes differ from those written", where=file, fix="give another checkpoint of the run")
    return Weights(
        state=flat(load_file(file), file), file=file, sha256=digest, run=folder.parents[1], step=step, config=config
    )


def load_file(file: Path) -> object:
    """What a file of tensors and plain values holds, on the CPU.

    Raises:
        ConfigError: it cannot be read, or holds more than that.
    """
    try:
        if file.suffix == ".safetensors":
            return _load_safetensors(file)
        ignored = warnings.catch_warnings(action="ignore")  # about pickles of other protocols, which it then refuses
        with ignored, torch.serialization.safe_globals(_NUMBERS):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise ConfigError("not a file of weights", where=file, found=first, fix=_FIX) from error


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # only here: training needs no such file, nor the package
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise OSError(error) from error


def flat(content: object, file: Path) -> dict[str, Tensor]:
    """The tensors of what a file holds, unwrapped and without `module.`.

    The second layer of a head without BatchNorm is number 2 here; a file may have kept the 3 of one with it.

    Raises:
        ConfigError: none inside.
    """
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise ConfigError("not a file of weights", where=file, found=type(content).__name__, fix=_FIX)
    state = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise ConfigError("no tensors inside", where=file, found=", ".join(map(str, list(content)[:4])), fix=_FIX)
    if not any(name.startswith("projection_head.1.") for name in state):
        state = {name.replace("projection_head.3.", "projection_head.2."): value for name, value in state.items()}
    return state


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
