"""The reference's training checkpoints: checkpoint.pth.tar with weights, momentum and epoch, queue0.pth ... beside it.

Momentum is kept there by number of the parameter, so names come from the order of the weights. The queue is a file per
rank, each with the newest rows first. Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swav_dali.errors import ConfigError
from swav_dali.exchange.weights import flat, load_file

FILE = "checkpoint.pth.tar"
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_PARTS = ("epoch", "state_dict", "optimizer")
_WEIGHTS_ONLY = "--init takes the weights alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a training of the reference stood.

    Attributes:
        state: weights under the published names.
        momentum: SGD's buffers under the same names; a parameter that was frozen so far has none.
        epoch: whole epochs done.
        queues: of every rank, (assigned crops, rows, dim), newest first; none where there was no queue.
        loss_scale: of its half precision, None without.
        file: the checkpoint.
    """

    state: dict[str, Tensor]
    momentum: dict[str, Tensor]
    epoch: int
    queues: list[Tensor]
    loss_scale: float | None
    file: Path


def read_training_state(place: Path) -> TrainingState:
    """The training checkpoint at `place`, a file or the folder that holds checkpoint.pth.tar.

    Raises:
        ConfigError: no such checkpoint, or one whose parts do not fit each other.
    """
    file = place / FILE if place.is_dir() else place
    if not file.is_file():
        raise ConfigError("no such file", where="--go-on-from", found=file, expected=f"{FILE} of a training")
    content = load_file(file)
    there = list(content) if isinstance(content, Mapping) else []
    if not isinstance(content, Mapping) or any(part not in content for part in _PARTS):
        found = ", ".join(map(str, there[:4])) or type(content).__name__
        raise ConfigError("no training checkpoint", where=file, found=found, expected=_PARTS, fix=_WEIGHTS_ONLY)
    state = flat(content, file)
    return TrainingState(
        state=state,
        momentum=_momentum(content["optimizer"], state, file),
        epoch=int(content["epoch"]),
        queues=_queues(file.parent),
        loss_scale=_loss_scale(content.get("amp")),
        file=file,
    )


def _momentum(optimizer: Mapping[str, Any], state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    names = [name for name in state if not name.endswith(_BUFFERS)]
    numbers = [number for group in optimizer.get("param_groups", []) for number in group["params"]]
    if len(numbers) != len(names):
        raise ConfigError(
            "the optimizer has another number of parameters than the network",
            where=file,
            found=len(numbers),
            expected=len(names),
            fix=_WEIGHTS_ONLY,
        )
    kept = {name: optimizer["state"].get(number, {}) for name, number in zip(names, numbers, strict=True)}
    found = {name: each["momentum_buffer"] for name, each in kept.items() if each.get("momentum_buffer") is not None}
    if not found or any(value.shape != state[name].shape for name, value in found.items()):
        raise ConfigError("its optimizer is no SGD with momentum", where=file, fix=_WEIGHTS_ONLY)
    return found


def _queues(folder: Path) -> list[Tensor]:
    numbered = {int(match[1]): path for path in folder.glob("queue*.pth") if (match := _QUEUE.fullmatch(path.name))}
    if sorted(numbered) != list(range(len(numbered))):
        raise ConfigError("queues of some ranks are missing", where=folder, found=sorted(numbered))
    found: list[Tensor] = []
    for _, path in sorted(numbered.items()):
        content = load_file(path)
        rows = content.get("queue") if isinstance(content, Mapping) else None
        if not isinstance(rows, Tensor) or rows.ndim != 3 or (found and rows.shape != found[0].shape):
            raise ConfigError("no queue like the others", where=path, expected="queue: (crops, rows, dim)")
        found.append(rows)
    return found


_QUEUE = re.compile(r"queue(\d+)\.pth")


def queue_state(rows: Tensor) -> dict[str, Any]:
    """A rank's queue as swav_dali.method.queue keeps it: rows of zeros at its end were never filled."""
    filled = rows.abs().sum(dim=(0, 2)).ne(0)
    return {"embeddings": rows.float(), "num_filled": int(filled.sum())}


def _loss_scale(amp: object) -> float | None:
    """From the state of apex's amp, or of torch's own scaler."""
    if not isinstance(amp, Mapping):
        return None
    scaler = amp.get("loss_scaler0", amp)
    scale = scaler.get("loss_scale", scaler.get("scale")) if isinstance(scaler, Mapping) else None
    return None if scale is None else float(torch.as_tensor(scale))
