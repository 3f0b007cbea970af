"""Photos of ImageNet's size, made where none are given: coarse colours with grain, 500 x 375, about 110 kB each."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from swav_dali.gpu_check.setting import Setting

_CLASSES = 10


def made(setting: Setting) -> dict[str, Any]:
    """Make the shard set, unless it is given or there already."""
    if setting.shards is not None:
        return {"shards": str(setting.shards), "made": 0}
    if (setting.photos / "manifest.json").exists():
        return {"shards": str(setting.photos), "made": 0}
    pictures = setting.photos.parent / "pictures"
    with ThreadPoolExecutor(setting.threads) as pool:  # numpy and Pillow leave the interpreter's lock
        sizes = list(pool.map(partial(_draw, pictures, setting.picture_size), range(setting.num_pictures)))
    build = [sys.executable, "-m", "shards", "build", str(pictures), str(setting.photos)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return {"shards": str(setting.photos), "made": len(sizes), "mean_bytes": round(sum(sizes) / len(sizes))}


def _draw(folder: Path, size: tuple[int, int], number: int) -> int:
    """One picture as a JPEG of quality 90; returns its bytes."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    width, height = size
    grain = rng.normal(0, 14, (height, width, 1)) + rng.normal(0, 5, (height, width, 3))
    path = folder / f"class{number % _CLASSES}" / f"{number:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path.stat().st_size
