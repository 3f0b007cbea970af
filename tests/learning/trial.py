"""One seed of one row: train, evaluate, and keep what a table and a curve need."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.learning.rows import Row

ROOT = Path(__file__).parents[2]
Entry = dict[str, Any]
Words = list[str]


def training_words(row: Row, seed: int, data: str) -> Words:
    """The words after `python` that train this seed; also what the page shows."""
    folders = ["--data.train", f"{data}/train", "--data.validation", f"{data}/validation"]
    return ["train.py", row.preset, *folders, "--seed", str(seed), *row.flags]


def run_trial(name: str, row: Row, seed: int, *, data: Path, runs: Path, threads: int) -> Entry:
    """Train and evaluate; raises SystemExit with what the failing command said."""
    run_name = f"{name}-{seed}"
    extra = ["--name", run_name, "--runs-dir", str(runs), "--resume", "never", "--log.wandb", "off"]
    wall, cpu = _timed([*training_words(row, seed, str(data)), *extra], threads)
    _timed(["-m", "swav_dali", "evaluate", "linear", str(runs / run_name)], threads)
    return {
        "row": name,
        "seed": seed,
        "threads": threads,
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "commit": _commit(),
        "wall_minutes": round(wall / 60, 2),
        "cpu_minutes": round(cpu / 60, 2),
        **_learnt(runs / run_name),
    }


def _learnt(folder: Path) -> Entry:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    votes = [record for record in records if "knn_top1" in record]
    losses = [record for record in records if "loss" in record]
    (result,) = (folder / "checkpoints").glob("*.linear.json")
    linear = json.loads(result.read_text())
    return {
        "knn": [[record["epoch"], round(100 * record["knn_top1"], 2)] for record in votes],
        "pixels": round(100 * votes[-1]["knn_pixels"], 2),
        "untrained": round(100 * votes[-1]["knn_untrained"], 2),
        "linear": round(100 * linear["top1"], 2),
        "loss": [[record["step"], round(record["loss"], 4)] for record in losses[:: max(1, len(losses) // 60)]],
        "last_loss": round(losses[-1]["loss"], 4),
        "epochs": votes[-1]["epoch"],
    }


def _timed(words: Words, threads: int) -> tuple[float, float]:
    """Seconds by the clock and of all cores."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began, before = time.monotonic(), _children()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-800:]}\n{done.stderr[-2000:]}"
        )
    return time.monotonic() - began, _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _commit() -> str:
    words = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    return subprocess.run(words, cwd=ROOT, text=True, capture_output=True).stdout.strip() or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
