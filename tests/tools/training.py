"""Tools for tests that train for real: small shards of drawn pictures and a run of a few steps on them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]

TINY = {
    "--data.batch-size": "4",
    "--data.crops": "2x32@0.3-1+2x16@0.08-0.3",
    "--data.loader.threads": "1",
    "--model.hidden-dim": "16",
    "--model.embedding-dim": "8",
    "--model.num-prototypes": "12",
    "--swav.queue-length": "8",
    "--swav.queue-start-epoch": "0.5",
    "--swav.freeze-prototypes-steps": "3",
    "--optim.optimizer": "larc",
    "--optim.base-lr": "1.5",
    "--optim.final-lr": "0.01",
    "--optim.start-lr": "0.3",
    "--optim.epochs": "2",
    "--log.every-steps": "1",
    "--log.wandb": "off",
    "--log.report-minutes": "0",
    "--knn.every-epochs": "1",
    "--knn.resize": "32",
    "--knn.size": "32",
}


def draw_folder(root: Path, *, num_images: int, seed: int) -> Path:
    """Class folders of noisy stripes (`across`, `along`); sizes differ, nothing is downloaded."""
    generator = np.random.default_rng(seed)
    for index in range(num_images):
        height, width = generator.integers(40, 80, 2)
        stripes = (np.arange(width) // 6 % 2 * 160)[None, :, None] + generator.integers(0, 90, (height, width, 3))
        name = ("along", "across")[index % 2]
        picture = stripes if index % 2 else np.rot90(stripes)
        path = root / name / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(path, quality=90)
    return root


def draw_splits(root: Path, *, train: int, val: int) -> Path:
    """Labelled pictures in `root`/train and `root`/val."""
    for seed, (split, count) in enumerate({"train": train, "val": val}.items()):
        draw_folder(root / split, num_images=count, seed=seed)
    return root


def build_shards(source: Path, out: Path, *options: str) -> Path:
    """`python -m shards build`, as a user runs it."""
    command = [sys.executable, "-m", "shards", "build", str(source), str(out), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return out


def command(data: Path, runs: Path, name: str, *, ranks: int = 1, **changes: str) -> list[str]:
    """The command line of a tiny run; `changes` are options with _ for - and __ for a dot."""
    options = {**TINY, "--data.train": str(data / "train"), "--data.validation": str(data / "validation")}
    options |= {"--runs-dir": str(runs), "--name": name}
    options |= {"--" + key.replace("__", ".").replace("_", "-"): value for key, value in changes.items()}
    launcher = [sys.executable]
    if ranks > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return [*launcher, "train.py", "demo", *(word for pair in options.items() for word in pair)]


def environment() -> dict[str, str]:
    """One thread per process, so that runs beside each other have the same bits."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}


def run(arguments: list[str], *, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def kill(pid: int) -> None:
    """kill -9, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes started by `pid`, and by those."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended since
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [grandchild for child in found for grandchild in descendants(child)]


def ranks_below(pid: int) -> list[int]:
    """The ranks that torchrun, `pid`, has started, in order."""
    found: dict[int, int] = {}
    for below in descendants(pid):
        with contextlib.suppress(OSError):  # it has ended since
            variables = Path(f"/proc/{below}/environ").read_bytes().split(b"\0")
            rank = next((word[5:] for word in variables if word.startswith(b"RANK=")), None)
            if rank is not None:
                found.setdefault(int(rank), below)
    return [found[rank] for rank in sorted(found)]
