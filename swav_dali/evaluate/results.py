"""An evaluation's result as a file that says all it depends on: weights, data, command, versions."""

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


def _described(shards: ShardSet) -> dict[str, Any]:
    return {"root": str(shards.root), "images": shards.num_samples, "fingerprint": shards.fingerprint}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
