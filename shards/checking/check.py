"""Checking a whole folder of shards, our own or someone else's, and judging whether it will train well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.building.indexing import IN_PLACE
from shards.building.record import BUILD_FOLDER
from shards.checking.check_manifest import ManifestCheck, check_manifest
from shards.checking.check_tar import FIRST_PROBLEMS, TarCheck, TarReport, check_tar, find_key
from shards.errors import ShardError
from shards.sources.listing import UNLABELLED
from shards.sources.tar_samples import LABEL, explain_suffixes, is_picture_suffix
from shards.tars.manifest import MANIFEST_NAME, ShardEntry

WINDOW = 1024  # samples: DALI's default pool, within which reading shuffles
WELL_SHUFFLED = 0.9
READ_BY_ALL = ("jpg", "png", "webp")  # suffixes of pictures that every common reader looks for


@dataclass(kw_only=True)
class CheckReport:
    """What a check found: facts to print, and problems, which make the command fail."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    num_samples: int = 0


@dataclass(frozen=True, kw_only=True)
class CheckPlan:
    """The tars to look at, and what the folder's manifest already told; None where there is no manifest."""

    tasks: list[TarCheck]
    manifest: ManifestCheck | None


def plan_check(root: Path, *, full: bool) -> CheckPlan:
    """The tars of the manifest that are there, or every tar in a folder that has none.

    Raises:
        ShardError: there is no tar, or the manifest cannot be read.
    """
    if (root / MANIFEST_NAME).is_file():
        found = check_manifest(root)
        is_gated = found.manifest.build.get("source") == IN_PLACE
        return CheckPlan(tasks=[_task(root, entry, full, is_gated) for entry in found.there], manifest=found)
    tars = sorted(root.glob("*.tar")) if root.is_dir() else []
    if not tars:
        raise ShardError("no tars to check", where=root)
    return CheckPlan(tasks=[TarCheck(tar=tar, idx=_index_of(tar), full=full) for tar in tars], manifest=None)


def check(plan: CheckPlan, executor: Executor, *, on_tar: Callable[[Path], None] = lambda tar: None) -> CheckReport:
    """Look through the tars and put the findings together; `on_tar` is called after each."""
    reports = []
    for report in executor.map(check_tar, plan.tasks):
        reports.append(report)
        on_tar(report.tar)
    result = CheckReport(num_samples=sum(len(report.keys) for report in reports))
    result.problems += plan.manifest.problems if plan.manifest else ()
    for report in reports:
        result.problems += [_named(report.tar.name, problem) for problem in _first(report.problems)]
    is_numbered = plan.manifest is not None and plan.manifest.manifest.build.get("source") == IN_PLACE
    keys = (
        result.facts if is_numbered else result.problems
    )  # an index in place numbers its samples, whatever their keys
    keys += _duplicate_keys(reports)
    result.facts.append(_composition(reports))
    result.facts += _decoder_facts(reports)
    advice = result.problems if plan.manifest is None else result.facts  # our index names the pictures as they are
    advice += _suffix_advice(reports)
    labels = np.concatenate([report.labels for report in reports]) if reports else np.empty(0, dtype=np.int32)
    result.problems += _label_problems(labels, plan.manifest)
    if len(labels) and labels.min() >= 0:
        result.facts.append(_shuffle_verdict(labels))
    if plan.manifest is None:
        result.facts += _foreign_facts(plan.tasks, reports)
        if (plan.tasks[0].tar.parent / BUILD_FOLDER).is_dir():
            result.problems.append(f"no {MANIFEST_NAME}: the build is not finished; run the same build again")
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
    return float(np.mean([_entropy(labels[start : start + window]) for start in starts]))


def _shuffle_verdict(labels: NDArray[np.int32]) -> str:
    window = min(WINDOW, max(16, len(labels) // 8))
    found = local_entropy(labels, window)
    shuffled = local_entropy(np.random.default_rng(0).permutation(labels), window)
    if not shuffled:
        return "all samples are of one class: their order tells nothing"
    verdict = "shuffled" if found >= WELL_SHUFFLED * shuffled else "NOT shuffled: batches will hold few classes"
    return f"{verdict}: {found:.2f} bits of class entropy within {window} samples, {shuffled:.2f} if shuffled at random"


def _entropy(labels: NDArray[np.int32]) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log2(shares)).sum())


def _duplicate_keys(reports: Sequence[TarReport]) -> Iterator[str]:
    if not reports:
        return
    digests = np.concatenate([report.keys for report in reports])
    owners = np.repeat(np.arange(len(reports)), [len(report.keys) for report in reports])
    values, counts = np.unique(digests, return_counts=True)
    if len(repeated := values[counts > 1]):
        tars = [reports[number].tar for number in np.unique(owners[digests == repeated[0]]).tolist()]
        places = f"apart in {tars[0].name}" if len(tars) == 1 else f"in {' and '.join(tar.name for tar in tars[:2])}"
        key = find_key(tars[0], int(repeated[0]))
        yield f"{len(repeated):,} of {len(values):,} keys occur more than once, such as {key} {places}"


def _decoder_facts(reports: Sequence[TarReport]) -> Iterator[str]:
    """Who looked at pictures that are no JPEGs; nothing where there are none."""
    if num_asked := sum(report.num_asked for report in reports):
        name = next((report.decoder for report in reports if report.decoder), None)
        who = f"decoded by {name} as well" if name else "not tried with DALI, which is not installed here"
        yield f"{num_asked:,} pictures are no JPEGs: {who}"


def _composition(reports: Sequence[TarReport]) -> str:
    num_samples = sum(len(report.keys) for report in reports)
    return f"{len(reports)} tars, {num_samples:,} samples; members: {explain_suffixes(_suffixes(reports))}"


def _suffixes(reports: Iterable[TarReport]) -> Counter[str]:
    suffixes = Counter[str]()
    for report in reports:
        suffixes.update(report.suffixes)
    return suffixes


def _suffix_advice(reports: Sequence[TarReport]) -> Iterator[str]:
    """Why readers would not find pictures that are there, or a person would who looks for them."""
    suffixes, num_samples = _suffixes(reports), sum(len(report.keys) for report in reports)
    pictures = Counter({suffix: count for suffix, count in suffixes.items() if is_picture_suffix(suffix)})
    others = Counter({suffix: count for suffix, count in pictures.items() if suffix not in READ_BY_ALL})
    if others or (num_samples and not pictures):
        found = explain_suffixes(others or suffixes)
        yield f"{pictures['jpg']:,} samples have .jpg; found {found}: DALI and others match suffixes letter by letter"
    if any(suffix != suffix.lower() for suffix in suffixes):
        yield "upper-case suffixes: DALI reads them only with case_sensitive_extensions=False"
    if any(report.has_dots for report in reports) or any("." in suffix for suffix in suffixes):
        yield "dots in names: everything after the first dot is taken for the suffix"
    if pictures.total() < num_samples:
        yield f"{num_samples - pictures.total():,} of {num_samples:,} samples have no picture"


def _label_problems(labels: NDArray[np.int32], manifest: ManifestCheck | None) -> Iterator[str]:
    num_unlabelled = int((labels == UNLABELLED).sum())
    if 0 < num_unlabelled < len(labels):
        yield f"{num_unlabelled:,} of {len(labels):,} samples have no .{LABEL}: a reader of labels stops at them"
    classes = manifest.manifest.classes if manifest else ()
    if classes and len(labels) and labels.max() >= len(classes):
        yield f"label {labels.max()} is beyond the {len(classes)} classes of the manifest"


def _foreign_facts(tasks: Sequence[TarCheck], reports: Sequence[TarReport]) -> Iterator[str]:
    if num_missing := sum(task.idx is None for task in tasks):
        yield f"{num_missing} tars without a DALI index beside them: python -m shards index DIR writes it"
    if num_pax := sum(report.is_pax for report in reports):
        yield f"{num_pax} tars with PAX headers, which DALI reads well only with an index"


def _named(name: str, problem: str) -> str:
    return problem if problem.startswith((name, f"{Path(name).stem}.idx")) else f"{name}: {problem}"


def _first(problems: list[str]) -> list[str]:
    more = len(problems) - FIRST_PROBLEMS
    return problems if more <= 0 else [*problems[:FIRST_PROBLEMS], f"and {more} more problems"]


def _task(root: Path, entry: ShardEntry, full: bool, is_gated: bool) -> TarCheck:
    tar, idx = root / entry.tar, root / entry.idx
    return TarCheck(tar=tar, idx=idx, tar_sha256=entry.tar_sha256, full=full, is_gated=is_gated)


def _index_of(tar: Path) -> Path | None:
    idx = tar.with_suffix(".idx")
    return idx if idx.is_file() else None
