"""A data set of WebDataset tars from the hub to indexed splits: a folder per split, ready to train on.

Each part goes on where an earlier run stopped: files of the right size and name are whole, and a split whose manifest
names these very tars is indexed.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from shards.building.indexing import IndexedSet, IndexRules, index_splits
from shards.errors import ShardError
from shards.host.atomic import write_whole
from shards.remote.hub import HubDataset, HubFile
from shards.sources.tar_splits import INFO_NAMES, TRAIN, parse_info, split_names
from shards.tars.manifest import Manifest, read_manifest
from shards.tars.other_indices import format_indices

SPARE_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """Which files go where: (file, path) by split."""

    dataset: HubDataset
    root: Path
    splits: dict[str, tuple[tuple[HubFile, Path], ...]]

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for pairs in self.splits.values() for file, _ in pairs)

    @property
    def pairs(self) -> list[tuple[HubFile, Path]]:
        """Of all splits."""
        return [pair for pairs in self.splits.values() for pair in pairs]


def plan_fetch(dataset: HubDataset, root: Path, *, include: str | None, wanted: tuple[str, ...] = ()) -> FetchPlan:
    """Find the tars of each split, by `_info.json` or by their names.

    Args:
        dataset: at the hub.
        root: where the folders of the splits will be; a set without splits is taken for training.
        include: pattern for the names of tars; None takes all.
        wanted: names of splits; none means all.

    Raises:
        ShardError: there are no tars, they are of more than one set, or a split asked for does not exist.
    """
    where = f"hf://datasets/{dataset.repo}"
    tars = {file.name: file for file in dataset.files if file.name.endswith(".tar")}
    if not tars:
        raise _no_tars(dataset, where)
    chosen = [name for name in tars if include is None or fnmatch(name.rpartition("/")[2], include)]
    if not chosen:
        raise ShardError("fits no tar", where="--include", found=include, expected=f"one like {next(iter(tars))}")
    groups = split_names(chosen, _info(dataset, where), where=where)
    groups = {split or TRAIN: names for split, names in groups.items()}
    if strangers := [name for name in wanted if name not in groups]:
        raise ShardError("no such split", where="--split", found=strangers[0], expected=" or ".join(groups))
    splits = {
        split: tuple(zip([tars[name] for name in names], _paths(root / split, names), strict=True))
        for split, names in groups.items()
        if not wanted or split in wanted
    }
    return FetchPlan(dataset=dataset, root=root, splits=splits)


def fetch(plan: FetchPlan, *, threads: int, on_bytes: Callable[[int], None]) -> int:
    """Download the files; returns how many were not there already.

    Raises:
        ShardError: too little space, the hub refuses or does not answer, or a file has another checksum.
    """
    for split in plan.splits:
        (plan.root / split).mkdir(parents=True, exist_ok=True)
    _check_space(plan)
    with ThreadPoolExecutor(threads) as pool:
        results = [pool.submit(plan.dataset.fetch, file, path, on_bytes=on_bytes) for file, path in plan.pairs]
        try:
            return sum(result.result() for result in results)
        except BaseException:
            for result in results:
                result.cancel()
            raise


def index(plan: FetchPlan, executor: Executor, rules: IndexRules) -> list[IndexedSet]:
    """Index the splits and write timm's `_info.json` for them; splits that are indexed already stay as they are.

    Raises:
        ShardError: as `index_splits`; or a tar is no longer what was fetched.
    """
    indexed = _already_indexed(plan) if rules == IndexRules() else None
    if indexed is None:
        groups = {split: tuple(path for _, path in pairs) for split, pairs in plan.splits.items()}
        indexed = index_splits(plan.root, groups, executor, rules)
    for one in indexed:
        _check_sums(plan.splits[one.folder.name], one.manifest, one.folder)
    for name, content in format_indices(_splits_at(plan.root)):
        write_whole(plan.root / name, content)
    return indexed


def _splits_at(root: Path) -> dict[str, Manifest]:
    """All splits that are there, of this run or an earlier one."""
    found = {folder.name: read_manifest(folder) for folder in sorted(root.iterdir()) if folder.is_dir()}
    return {split: manifest for split, manifest in found.items() if manifest is not None}


def _already_indexed(plan: FetchPlan) -> list[IndexedSet] | None:
    found = []
    for split, pairs in plan.splits.items():
        folder = plan.root / split
        manifest = read_manifest(folder)
        expected = {(path.name, file.size, file.sha256) for file, path in pairs}
        if manifest is None or {(s.tar, s.tar_bytes, s.tar_sha256) for s in manifest.shards} != expected:
            return None
        if not all((folder / shard.idx).is_file() for shard in manifest.shards):
            return None
        found.append(IndexedSet(folder=folder, manifest=manifest, warnings=()))
    return found


def _check_sums(pairs: tuple[tuple[HubFile, Path], ...], manifest: Manifest, folder: Path) -> None:
    expected = {path.name: file.sha256 for file, path in pairs}
    for shard in manifest.shards:
        if (sha256 := expected.get(shard.tar)) and sha256 != shard.tar_sha256:
            fix = f"remove {folder / shard.tar} and run it again"
            where, found = folder / shard.tar, shard.tar_sha256[:12]
            raise ShardError("no longer what was fetched", where=where, found=found, expected=sha256[:12], fix=fix)


def _check_space(plan: FetchPlan) -> None:
    there = sum(path.stat().st_size for _, path in plan.pairs if path.is_file())
    needed, free = plan.num_bytes - there + SPARE_BYTES, shutil.disk_usage(plan.root).free
    if free < needed:
        fix = "free some, choose another disk, or fetch less: --split, --include"
        found, expected = f"{free / 1e9:.2f} GB free", f"{needed / 1e9:.2f} GB"
        raise ShardError("not enough free space", where=plan.root, found=found, expected=expected, fix=fix)


def _info(dataset: HubDataset, where: str) -> dict[str, tuple[str, ...]]:
    file = next((file for file in dataset.files if file.name in INFO_NAMES), None)
    return {} if file is None else parse_info(dataset.read(file), where=f"{where}/{file.name}")


def _paths(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Where files go: under their own names, or under those with their folders where the names are not enough."""
    bases = [PurePosixPath(name).name for name in names]
    if max(Counter(bases).values()) > 1:
        bases = [name.replace("/", "_") for name in names]
    return [folder / base for base in bases]


def _no_tars(dataset: HubDataset, where: str) -> ShardError:
    suffixes = Counter(PurePosixPath(file.name).suffix for file in dataset.files)
    found = ", ".join(f"{suffix or 'no suffix'} ({count}x)" for suffix, count in suffixes.most_common(4)) or "nothing"
    download = f"hf download --repo-type dataset {dataset.repo} --local-dir SRC, then python -m shards build SRC OUT"
    fix = f"for parquet or pictures: {download}"
    return ShardError("no WebDataset tars", where=where, found=found, fix=fix)
