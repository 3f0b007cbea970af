"""An evaluation's result: a file that says all it depends on, and its figures among those of the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shards.host.atomic import write_whole
from shards.tars.shardset import ShardSet
from swav_dali.errors import ConfigError
from swav_dali.exchange.weights import Weights
from swav_dali.watch.record import combine, shown
from swav_dali.watch.sinks.base import Event
from swav_dali.watch.sinks.jsonl import METRICS, append

_PACKAGES = ("torch", "torchvision", "numpy", "nvidia-dali-cuda130", "nvidia-dali-cuda120")


def result_of(
    protocol: str, figures: Mapping[str, Any], *, weights: Weights, data: Mapping[str, ShardSet]
) -> dict[str, Any]:
    """The record of one evaluation.

    Args:
        protocol: what was done, for instance `linear`.
        figures: what came out, and the options it depends on.
        weights: what was evaluated.
        data: the shard sets, by their part in it.
    """
    return {
        "protocol": protocol,
        **figures,
        "weights": {"file": str(weights.file), "sha256": weights.sha256, "step": weights.step},
        "data": {name: _described(shards) for name, shards in data.items()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "time": round(time.time()),
    }


def write_result(result: Mapping[str, Any], weights: Weights, given: Path | None) -> Path:
    """Write the result to `given`, or beside the checkpoint or file that it is about; returns where.

    Raises:
        ConfigError: there is no writing there.
    """
    beside = weights.file if weights.run is None else weights.file.parent
    path = given or beside.with_name(f"{beside.name}.{result['protocol']}.json")
    try:
        write_whole(path, (json.dumps(result, indent=1) + "\n").encode())
    except OSError as error:
        raise ConfigError("the result cannot be written", where=path, found=error, fix="give --json FILE") from error
    return path


def tell_run(result: Mapping[str, Any], weights: Weights, path: Path) -> Path | None:
    """Add the result's figures to metrics.jsonl and events.jsonl of the run whose weights were evaluated.

    The run may go on meanwhile.

    Args:
        result: of `result_of`.
        weights: what was evaluated.
        path: the file of the result.

    Returns:
        The run's metrics.jsonl; None for weights that are of no run.

    Raises:
        ConfigError: its files cannot be written.
    """
    run = weights.run
    if run is None or weights.step is None or not (run / METRICS).is_file():
        return None
    epoch = json.loads((weights.file.parent / "meta.json").read_text(encoding="utf-8"))["epoch"]
    figures = _figures(result)
    record = combine({name: [value] for name, value in {"step": weights.step, "epoch": epoch, **figures}.items()})
    told = ", ".join(f"{name} {shown(name, value)}" for name, value in figures.items())
    try:
        append(run, record, Event("evaluation", weights.step, told, str(path)))
    except OSError as error:
        raise ConfigError("the figures cannot be added to the run", where=run, found=error) from error
    return run / METRICS


def _figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The declared figures of one result."""
    protocol, top1 = result["protocol"], result["top1"]
    if protocol == "knn":
        best = max(top1, key=lambda voters: float(top1[voters]))
        return {"knn_best_top1": top1[best], "knn_best_neighbours": int(best)}
    if protocol == "linear":
        return {"linear_top1": top1, "linear_top5": result["best"]["top5"]}
    if protocol == "semisup":
        labelled = result["labelled_images"]
        return {"semisup_top1": top1, "semisup_top5": result["top5"], "semisup_labelled_images": labelled}
    return {"published_linear_top1": top1, "published_linear_top5": result["top5"]}


def _described(shards: ShardSet) -> dict[str, Any]:
    return {"root": str(shards.root), "images": shards.num_samples, "fingerprint": shards.fingerprint}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
