"""The packages whose versions the bits of a run depend on, and what it means when they change under it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from swav_dali.errors import CheckpointError

_DALI = ("nvidia-dali-cuda130", "nvidia-dali-cuda120")
_ARITHMETIC = "swav-dali arithmetic"
_REVISION = "3"
"""Raised whenever the same step of the same run gives other bits than before; runs that do not say are of the first."""
_PACKAGES = (_ARITHMETIC, "torch", "torchvision", *_DALI, "numba", "numpy")


def versions() -> dict[str, str]:
    """Name and version of those that are installed."""
    found = {_ARITHMETIC: _REVISION}
    for name in _PACKAGES[1:]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def refuse_other_dali(saved: dict[str, str], *, where: Path) -> None:
    """Raise CheckpointError where DALI has changed: it made the saved data position, and no other continues its bits.

    The builds for CUDA 12 and 13 of one version are taken for the same.
    """
    old, new = (next((found[name] for name in _DALI if name in found), None) for found in (saved, versions()))
    if old is not None and old != new:
        raise CheckpointError(
            "the data position was saved by another DALI",
            where=where,
            found=f"DALI {old} -> {new}",
            fix=f"install DALI {old} again, or start a new run from these weights: --init {where} --name OTHER",
        )


def changed_versions(saved: dict[str, str]) -> list[str]:
    """One line about the packages that have changed; empty if none has."""
    now, saved = versions(), {_ARITHMETIC: "1", **saved}
    both = [name for name in _PACKAGES if name in saved and name in now]
    changed = [f"{name} {saved[name]} -> {now[name]}" for name in both if saved[name] != now[name]]
    if not changed:
        return []
    return [f"versions have changed since the checkpoint: {', '.join(changed)}; the last bits may differ from here on"]
