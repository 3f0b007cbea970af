"""Figures that go wrong, for the tests of who supervises them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from swav_dali.gpu_check.setting import Setting


def works(setting: Setting, *, number: int) -> dict[str, Any]:
    """A value, and which process made it."""
    return {"number": number, "process": os.getpid()}


def raises(setting: Setting) -> None:
    """A mistake in the code."""
    raise ValueError("no such crop")


def crashes(setting: Setting) -> None:
    """As a segmentation fault would."""
    os.abort()


def hangs(setting: Setting) -> None:
    """With a child of its own, whose id is left in the work folder."""
    child = subprocess.Popen(["sleep", "60"])
    (Path(setting.work) / "child").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)
