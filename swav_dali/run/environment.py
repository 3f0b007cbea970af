"""Where and with what a run was started: revision, command, versions, machine. For people; resuming ignores it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from shards.host.atomic import write_whole
from swav_dali.ranks.world import World
from swav_dali.run.versions import versions
from swav_dali.watch.environment import NAME

_ROOT = Path(__file__).parents[2]
_GIT_SECONDS = 5.0


def environment(world: World) -> dict[str, Any]:
    """What this start runs on, as this rank sees it; plain values."""
    return {
        "revision": revision(_ROOT),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": socket.gethostname(),
        "ranks": world.size,
        "ranks_per_node": world.ranks_per_node,
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions(),
    }


def write_environment(folder: Path, told: dict[str, Any]) -> None:
    """Keep it in the run folder, whole or not at all; raises OSError."""
    write_whole(folder / NAME, (json.dumps(told, indent=1) + "\n").encode())


def revision(root: Path) -> str:
    """The commit of the checkout at `root`, with a + where files differ from it; empty where there is none."""
    try:
        head, changes = (_git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    except (OSError, subprocess.SubprocessError):  # no git, no checkout, or one that belongs to someone else
        return ""
    return f"{head.strip()}{'+' if changes.strip() else ''}"


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS).stdout


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
