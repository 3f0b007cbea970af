"""Checking a whole folder of shards, our own or someone else's, and judging whether it will train well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.check_tar import FIRST_PROBLEMS, TarCheck, TarReport, check_tar
from shards.errors import ShardError
from shards.manifest import MANIFEST_NAME
from shards.shardset import load_shard_set
from shards.sources.webdataset import explain_suffixes, is_picture_suffix

WINDOW = 1024  # samples: DALI's default pool, within which reading shuffles
WELL_SHUFFLED = 0.9


@dataclass(kw_only=True)
class CheckReport:
    """What a check found: facts to print, and problems, which make the command fail."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def plan_check(root: Path, *, full: bool) -> list[TarCheck]:
    """The tars to look at: those of the manifest, or every tar in a folder that has none.

    Raises:
        ShardError: the manifest's files are missing or changed, or there is no tar.
    """
    if (root / MANIFEST_NAME).is_file():
        shards = load_shard_set(root).shards
        return [TarCheck(tar=s.tar, idx=s.idx, tar_sha256=s.tar_sha256, full=full) for s in shards]
    tars = sorted(root.glob("*.tar")) if root.is_dir() else []
    if not tars:
        raise ShardError("no tars to check", where=root)
    return [TarCheck(tar=tar, idx=_index_of(tar), full=full) for tar in tars]


def check(tasks: list[TarCheck], executor: Executor) -> CheckReport:
    """Look through the tars and put the findings together."""
    reports = list(executor.map(check_tar, tasks))
    result = CheckReport()
    for report in reports:
        result.problems += [f"{report.tar.name}: {problem}" for problem in _first(report.problems)]
    result.problems += _duplicate_keys(reports)
    result.facts += _composition(reports)
    labels = np.concatenate([report.labels for report in reports])
    if len(labels) and labels.min() >= 0:
        result.facts.append(_shuffle_verdict(labels))
    if any(task.idx is None for task in tasks):
        result.facts.append("no DALI index beside some tars: python -m shards index DIR writes them")
    return result


def steps_line(num_samples: int, world_size: int, batch_size: int) -> str:
    """Steps per epoch for so many processes, each with so many images per step."""
    steps, rest = divmod(num_samples, world_size * batch_size)
    shares = [num_samples * (rank + 1) // world_size - num_samples * rank // world_size for rank in range(world_size)]
    share = f"{min(shares):,}" if min(shares) == max(shares) else f"{min(shares):,} or {max(shares):,}"
    return (
        f"{steps:,} steps per epoch with {world_size} x {batch_size} images; a rank reads {share}, "
        f"{rest:,} of an epoch's images are left over"
    )


def local_entropy(labels: NDArray[np.int32], window: int = WINDOW) -> float:
    """Mean entropy in bits of the labels within windows of consecutive samples."""
    starts = range(0, max(1, len(labels) - len(labels) % window if len(labels) > window else 1), window)
    entropies = [_entropy(np.bincount(labels[start : start + window])) for start in starts]
    return float(np.mean(entropies))


def _shuffle_verdict(labels: NDArray[np.int32]) -> str:
    window = min(WINDOW, max(16, len(labels) // 8))
    found = local_entropy(labels, window)
    shuffled = local_entropy(np.random.default_rng(0).permutation(labels), window)
    verdict = "shuffled" if found >= WELL_SHUFFLED * shuffled else "NOT shuffled: batches will hold few classes"
    return f"{verdict}: {found:.2f} bits of class entropy within {window} samples, {shuffled:.2f} if shuffled at random"


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _duplicate_keys(reports: Iterable[TarReport]) -> list[str]:
    keys, counts = np.unique(np.concatenate([report.keys for report in reports]), return_counts=True)
    repeated = int((counts > 1).sum())
    return (
        [f"{repeated} keys of {len(keys)} occur more than once: parts of a sample apart, or two samples"]
        if repeated
        else []
    )


def _composition(reports: list[TarReport]) -> list[str]:
    """How many samples have which members, and an explanation when readers would find no picture."""
    suffixes, num_samples = Counter[str](), sum(len(report.keys) for report in reports)
    for report in reports:
        suffixes.update(report.suffixes)
    line = f"{len(reports)} tars, {num_samples:,} samples; members: {explain_suffixes(suffixes)}"
    return [line, *_suffix_advice(suffixes, num_samples)]


def _suffix_advice(suffixes: Counter[str], num_samples: int) -> Iterator[str]:
    pictures = {suffix: count for suffix, count in suffixes.items() if is_picture_suffix(suffix)}
    if not suffixes["jpg"] and num_samples:
        found = ", ".join(f".{suffix}" for suffix in pictures) or explain_suffixes(suffixes)
        yield f"0 samples have .jpg; found {found}: DALI and others match suffixes letter by letter"
    if any(suffix != suffix.lower() for suffix in suffixes):
        yield "upper-case suffixes: DALI reads them only with case_sensitive_extensions=False"
    if any("." in suffix for suffix in suffixes):
        yield "dots in names: everything after the first dot is taken for the suffix"
    if sum(pictures.values()) < num_samples:
        yield f"{num_samples - sum(pictures.values()):,} samples have no picture"


def _first(problems: list[str]) -> list[str]:
    more = len(problems) - FIRST_PROBLEMS
    return problems if more <= 0 else [*problems[:FIRST_PROBLEMS], f"and {more} more problems"]


def _index_of(tar: Path) -> Path | None:
    idx = tar.with_suffix(".idx")
    return idx if idx.is_file() else None
