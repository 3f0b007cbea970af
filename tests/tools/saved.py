"""A checkpoint written and waited for, for tests that want one on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swav_dali.ranks.world import World
from swav_dali.run.saving import CheckpointWriter


def save_checkpoint(root: Path, *, step: int, world: World, **what: Any) -> Path:
    """The folder of a complete checkpoint; `what` is that of CheckpointWriter.begin."""
    writer = CheckpointWriter(root, world)
    writer.begin(step=step, **what)
    writer.finish()
    return root / f"step-{step:08d}"
