"""A look at the paths of a run before anything heavy is imported: do they exist, and are there labels for the probe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from shards.tars.manifest import MANIFEST_NAME, parse_manifest
from swav_dali.config.sections import RunConfig
from swav_dali.errors import ConfigError

_DEMO = Path("data/demo")
_INIT_FIX = "give a run folder, one of its checkpoints, or a file of weights"
_VALIDATION = "data.validation"


def look_at_paths(config: RunConfig, given: Collection[str]) -> tuple[RunConfig, list[str]]:
    """`config`, with the probe switched off where there is nothing to probe with, and why it is.

    Args:
        config: of the command line.
        given: dotted keys that it set itself: a validation set that was named must exist.

    Raises:
        ConfigError: no shards where --data.train or --data.validation point, or no checkpoint where --resume does.
    """
    if isinstance(config.resume, Path) and not (config.resume / "meta.json").is_file():
        raise ConfigError(
            "not a checkpoint", where="--resume", found=config.resume, expected="runs/NAME/checkpoints/step-..."
        )
    if config.init is not None and not config.init.exists():
        raise ConfigError("no such file or folder", where="--init", found=config.init, fix=_INIT_FIX)
    if config.data.synthetic_images:
        return config, []
    _refuse_what_is_no_shard_set(config.data.train, "--data.train")
    if config.data.validation is None:
        return config, []
    reason = None
    if _VALIDATION in given or config.data.validation.exists():
        _refuse_what_is_no_shard_set(config.data.validation, "--data.validation")
        without = [path for path in (config.data.train, config.data.validation) if not _has_labels(path)]
        reason = f"no labels in {without[0]}" if without else None
    else:
        reason = f"no validation set at {config.data.validation}; name one with --data.validation"
    if reason is None:
        return config, []
    return replace(config, data=replace(config.data, validation=None)), [f"the kNN probe is off: {reason}"]


def _refuse_what_is_no_shard_set(path: Path, flag: str) -> None:
    if (path / MANIFEST_NAME).is_file():
        return
    found = f"{path}, which does not exist" if not path.exists() else f"{path}, without a {MANIFEST_NAME}"
    splits = [manifest.parent for manifest in sorted(path.glob(f"*/{MANIFEST_NAME}"))]
    raise ConfigError("no shard set", where=flag, found=found, fix=_fix(path, splits))


def _fix(path: Path, splits: list[Path]) -> str:
    if splits:
        train = next((split for split in splits if split.name == "train"), splits[0])
        validation = next((split for split in splits if split.name.startswith("val")), None)
        return f"use --data.train {train}" + (f" --data.validation {validation}" if validation else "")
    if _DEMO in (path, path.parent):
        return f"draw the demo pictures first: python -m shards demo {_DEMO}"
    return "make the shards: python -m shards build PICTURES OUT, or name others"


def _has_labels(path: Path) -> bool:
    manifest = path / MANIFEST_NAME
    return bool(parse_manifest(manifest.read_bytes(), where=manifest).classes)
