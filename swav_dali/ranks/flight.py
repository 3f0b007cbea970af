"""torch's flight recorder, on by default: what each rank did last, written down when a collective does not end.

Under NCCL torch writes the file itself, shortly before it ends the process without a word to Python; `written` lets a
thread notice. gloo raises an error in the rank that waits, and `write_record` writes the file there. The names set here
are known to torch 2.9 to 2.14; those of before are respected where a person has set them.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

_SIZE = ("TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE")
_PREFIX = ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")
_ON_TIMEOUT = "TORCH_NCCL_DUMP_ON_TIMEOUT"


def record_collectives(folder: Path, *, entries: int) -> None:
    """Have torch remember this rank's last collectives; to be called before the process group is made.

    What the environment says already is left as it is.

    Args:
        folder: for the files, `rank-N`; made by `make_room`.
        entries: how many are remembered; 0 is none.
    """
    _set(_SIZE, str(entries))
    _set(_PREFIX, f"{folder}/rank-")
    os.environ.setdefault(_ON_TIMEOUT, "1")


def make_room() -> None:
    """Make the folder of the files: torch would lose them without."""
    prefix = _get(_PREFIX)
    if prefix is not None:
        Path(f"{prefix}0").parent.mkdir(parents=True, exist_ok=True)


def record_path(rank: int) -> Path | None:
    """Where torch writes the record of `rank` under NCCL; None where nothing is recorded."""
    prefix = _get(_PREFIX)
    return None if prefix is None or _get(_SIZE) == "0" else Path(f"{prefix}{rank}")


def written(path: Path) -> tuple[int, int]:
    """Time and size of a file, both 0 where there is none: when they differ from before and then stay, it is whole."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def write_record(rank: int) -> Path | None:
    """Write this rank's last collectives as JSON; the file, or None where nothing is recorded or it cannot be."""
    prefix = record_path(rank)
    dump = getattr(torch._C._distributed_c10d, "_dump_fr_trace_json", None)  # not in every version that is supported
    if prefix is None or dump is None:
        return None
    path = prefix.with_name(f"{prefix.name}.json")
    try:
        path.parent.mkdir(exist_ok=True)  # in a run folder that is there
        path.write_bytes(dump())
    except OSError:  # of a run that is ending for another reason, which is said
        return None
    return path


def _set(names: tuple[str, ...], value: str) -> None:
    if _get(names) is None:
        os.environ[names[0]] = value


def _get(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if name in os.environ), None)
