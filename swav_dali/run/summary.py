"""What a person reads at the end of a run: its last figures and where its files are. Read from metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swav_dali.run.checkpoint import find_checkpoints
from swav_dali.watch.sinks.jsonl import read_lines


def summarize(folder: Path) -> str:
    """A few lines: loss against ln K, kNN top-1 beside its floors, checkpoint, metrics, wandb folder."""
    records = [json.loads(line) for line in read_lines(folder / "metrics.jsonl")]
    lines = [f"finished: {folder}", *_loss(records), *_knn(records)]
    checkpoints = find_checkpoints(folder / "checkpoints")
    if checkpoints:
        lines.append(f"  checkpoint     {checkpoints[-1]}")
    lines.append(f"  figures        {folder / 'metrics.jsonl'}")
    offline = sorted(str(path) for path in (folder / "wandb").glob("offline-run-*"))
    if offline:
        parts = " ".join(offline)
        lines.append(f"  wandb          upload with: wandb sync {parts}")
    return "\n".join(lines)


def say_complete(folder: Path, checkpoint: Path) -> None:
    """Tell that there is nothing left to train."""
    print(f"{folder} is complete at {checkpoint.name}: nothing to train; start another run with --name")
    print(summarize(folder))


def _loss(records: list[dict[str, Any]]) -> list[str]:
    losses = [record for record in records if "loss" in record]
    if not losses:
        return []
    last = losses[-1]
    return [
        f"  loss           {last['loss']:.4f}, ln K {last['ln_k']:.4f}",
        f"  speed          {last['images_per_second']:.0f} images/s, data wait {100 * last['data_wait_share']:.0f} %",
        f"  training time  {last['seconds'] / 60:.1f} min",
    ]


def _knn(records: list[dict[str, Any]]) -> list[str]:
    probes = [record for record in records if "knn_top1" in record]
    if not probes:
        return []
    last = probes[-1]
    floors = {"knn_untrained": "untrained", "knn_pixels": "raw pixels"}
    beside = ", ".join(f"{name} {100 * last[key]:.1f} %" for key, name in floors.items() if key in last)
    return [f"  kNN top-1      {100 * last['knn_top1']:.1f} % ({beside})"]
