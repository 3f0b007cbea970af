"""Feature banks as files that other programs read: NumPy, safetensors, parquet.

All hold the same columns: `id` (the sample's number in its set), `key` (its name in the tars, or its file's), `label`
(-1 where there is none), and one matrix for each kind of features. safetensors knows no strings: its keys are in the
metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from shards.errors import missing_package
from swav_dali.errors import ConfigError
from swav_dali.evaluate.features import FeatureBank


def write_features(path: Path, bank: FeatureBank, keys_by_id: Mapping[int, str]) -> None:
    """Write `bank`, with the samples' keys, in the format that the suffix of `path` names.

    Raises:
        ConfigError: the file cannot be written.
        UserError: parquet without pyarrow.
    """
    keys = [keys_by_id[number] for number in bank.ids.tolist()]
    try:
        _WRITERS[path.suffix](path, bank, keys)
    except OSError as error:
        raise ConfigError("the features cannot be written", where=path, found=error) from error


def _npz(path: Path, bank: FeatureBank, keys: list[str]) -> None:
    matrices: dict[str, Any] = {name.replace(" ", "_"): rows.cpu().numpy() for name, rows in bank.features.items()}
    np.savez(path, id=bank.ids.cpu().numpy(), key=np.array(keys), label=bank.labels.cpu().numpy(), **matrices)


def _safetensors(path: Path, bank: FeatureBank, keys: list[str]) -> None:
    tensors = {name.replace(" ", "_"): rows.cpu().contiguous() for name, rows in bank.features.items()}
    columns = {"id": bank.ids.cpu(), "label": bank.labels.cpu()}
    save_file({**columns, **tensors}, path, metadata={"key": json.dumps(keys)})


def _parquet(path: Path, bank: FeatureBank, keys: list[str]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise missing_package("pyarrow", "writing parquet", extra="sources") from error
    columns: dict[str, Any] = {"id": bank.ids.cpu().numpy(), "key": keys, "label": bank.labels.cpu().numpy()}
    for name, rows in bank.features.items():
        values = pa.array(rows.cpu().numpy().reshape(-1))
        columns[name.replace(" ", "_")] = pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    parquet.write_table(pa.table(columns), path)


_WRITERS = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
