"""Whether two runs came to the same state, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import training

from swav_dali.run.checkpoint import find_checkpoints, load_meta, load_parts


def last_step(folder: Path) -> int:
    """The last step in metrics.jsonl, -1 before there is one."""
    try:
        return max((record["step"] for record in training.records(folder)), default=-1)
    except (FileNotFoundError, ValueError):
        return -1


def trajectory(folder: Path) -> list[tuple[Any, ...]]:
    """Every record's figures that do not depend on the clock."""
    return [
        tuple(record.get(key) for key in ("step", "loss", "lr", "knn_top1", "code_entropy", "queue_in_use"))
        for record in training.records(folder)
    ]


def final_parts(folder: Path) -> dict[str, Any]:
    """Everything in the last checkpoint, but for the seconds it took to get there."""
    newest = find_checkpoints(folder / "checkpoints")[-1]
    parts = {name: load_parts(newest, name) for name in load_meta(newest).files}
    parts["shared.pt"]["clock"].pop("seconds")
    return parts


def assert_same_bits(ours: Any, theirs: Any, where: str = "") -> None:
    """Nested states are equal in every type, key and bit."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same_bits(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same_bits(*pair, f"{where}/{index}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Every figure and the last checkpoint of two run folders agree."""
    assert trajectory(ours) == trajectory(theirs)
    assert_same_bits(final_parts(ours), final_parts(theirs))
