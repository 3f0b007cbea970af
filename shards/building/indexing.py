"""Serving existing tars as they are: an index for each and a manifest, without copying a byte.

Tars of several splits in one folder become a folder per split with links to them, so that each split is a set of its
own, as `build` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

from shards.building.events import ERRORS_NAME, write_errors
from shards.building.index_tar import IndexedTar, index_tar, number_index, pending_index
from shards.errors import ShardError
from shards.host.atomic import remove_temporaries, write_whole
from shards.host.lock import hold_folder
from shards.remote.store import FolderStore
from shards.sources.tar_samples import LabelField, Remarks
from shards.sources.tar_splits import Groups
from shards.tars.manifest import MANIFEST_NAME, Manifest, ShardEntry

IN_PLACE = "indexed in place"  # what the manifest says of the source


@dataclass(frozen=True, kw_only=True)
class IndexRules:
    """How tars are read: the names of the classes, none where numbers will do, and where labels are."""

    classes: tuple[str, ...] = ()
    label_field: LabelField | None = None


@dataclass(frozen=True, kw_only=True)
class IndexedSet:
    """One split: where its manifest lies, what it says, and what a person should know."""

    folder: Path
    manifest: Manifest
    warnings: tuple[str, ...]


def index_folder(root: Path, executor: Executor, *, classes: tuple[str, ...] = ()) -> Manifest:
    """Index every tar of a folder as one set; see `index_splits`."""
    if not root.is_dir():
        raise ShardError("no such folder", where=root)
    tars = tuple(sorted(tar for tar in root.glob("*.tar") if tar.is_file()))
    return index_splits(root, {"": tars}, executor, IndexRules(classes=classes))[0].manifest


def index_splits(root: Path, splits: Groups, executor: Executor, rules: IndexRules) -> list[IndexedSet]:
    """Index the tars of a folder and write a manifest per split. A folder that is refused stays as it is.

    Args:
        root: where the tars lie, or else in the folder of their split.
        splits: the tars by split; a set without one has the key "" and its manifest in `root`.
        executor: runs a task per tar.
        rules: how tars are read.

    Raises:
        ShardError: no tars, another index is being written here, no usable sample, or labels on some samples only.
    """
    if not any(splits.values()):
        raise ShardError("no tars to index", where=root)
    with hold_folder(root):
        remove_temporaries(root, "*.idx", MANIFEST_NAME, ERRORS_NAME)
        try:
            return _index(root, splits, executor, rules)
        finally:
            for folder in {tar.parent for tars in splits.values() for tar in tars}:
                remove_temporaries(folder, "*.idx")


def _index(root: Path, splits: Groups, executor: Executor, rules: IndexRules) -> list[IndexedSet]:
    tars = [tar for group in splits.values() for tar in group]
    results = iter(list(executor.map(partial(index_tar, label_field=rules.label_field), tars)))
    indexed = {split: [next(results) for _ in group] for split, group in splits.items()}
    classes = _classes(root, indexed, rules)
    manifests = {split: _manifest(root, found, classes, rules, executor) for split, found in indexed.items()}
    if any(tar.parent == root for tar in tars) and any(splits):
        _forget_mixed_set(root, tars)
    return [_publish(root, split, indexed[split], manifest) for split, manifest in manifests.items()]


def _publish(root: Path, split: str, indexed: list[IndexedTar], manifest: Manifest) -> IndexedSet:
    """Give the pending indices their names, and write the manifest last."""
    folder = root / split
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)  # before the indices that it describes change
    if any(result.tar.parent != folder for result in indexed):
        _link(folder, [result.tar for result in indexed])
    for result in indexed:
        pending_index(result.tar).replace(folder / f"{result.tar.stem}.idx")
    write_errors(FolderStore(folder=folder), [event for result in indexed for event in result.events])
    write_whole(folder / MANIFEST_NAME, manifest.to_bytes())
    return IndexedSet(folder=folder, manifest=manifest, warnings=tuple(_warnings(indexed, manifest)))


def _manifest(
    root: Path, results: list[IndexedTar], classes: tuple[str, ...], rules: IndexRules, executor: Executor
) -> Manifest:
    """Number the samples over the pending indices and describe them."""
    firsts = accumulate((result.num_samples for result in results[:-1]), initial=0)
    sums = list(executor.map(number_index, (pending_index(result.tar) for result in results), firsts))
    build = {"source": IN_PLACE, "plan": "", "checks": "", "pictures": {}}
    if classes and rules.label_field is not None:
        build["labels"] = "in names"
    return Manifest(
        name=results[0].tar.stem,
        seed=0,
        classes=classes,
        shards=tuple(_entry(result, idx) for result, idx in zip(results, sums, strict=True) if result.num_samples),
        num_dropped=sum(len(result.events) for result in results),
        build=build,
    )


def _entry(result: IndexedTar, idx_sha256: str) -> ShardEntry:
    return ShardEntry(
        tar=result.tar.name,
        idx=f"{result.tar.stem}.idx",
        num_samples=result.num_samples,
        tar_bytes=result.tar.stat().st_size,
        tar_sha256=result.sha256,
        idx_sha256=idx_sha256,
    )


def _classes(root: Path, indexed: dict[str, list[IndexedTar]], rules: IndexRules) -> tuple[str, ...]:
    """The names of the classes, the same for all splits; none without labels."""
    labelled = {split: _is_labelled(root / split, results) for split, results in indexed.items()}
    if len(set(labelled.values())) > 1:
        found = f"labels in {' and '.join(split for split, is_so in labelled.items() if is_so)} alone"
        fix = "index the splits one by one with --include GLOB"
        raise ShardError("only some splits have labels", where=root, found=found, fix=fix)
    _remarks(result for results in indexed.values() for result in results).check_field(
        rules.label_field, is_labelled=all(labelled.values())
    )
    if not all(labelled.values()):
        return ()
    highest = max(result.highest_label for results in indexed.values() for result in results)
    classes = rules.classes or tuple(str(label) for label in range(highest + 1))
    if highest >= len(classes):
        raise ShardError(
            "labels beyond the list of classes", where=root, found=highest, expected=f"below {len(classes)}"
        )
    return classes


def _is_labelled(root: Path, results: list[IndexedTar]) -> bool:
    num_samples = sum(result.num_samples for result in results)
    num_unlabelled = sum(result.num_unlabelled for result in results)
    if not num_samples:
        raise ShardError("no sample with a picture that decodes", where=root, fix="python -m shards check DIR")
    if num_unlabelled not in (0, num_samples):
        found = f"{num_unlabelled:,} of {num_samples:,} without"
        raise ShardError("only some samples have a label", where=root, found=found, fix="build new shards from it")
    return num_unlabelled == 0


def _link(folder: Path, tars: list[Path]) -> None:
    """Have links to these tars in a split's folder, and no other link."""
    for old in [path for path in folder.iterdir() if path.suffix in (".tar", ".idx")]:
        if old.suffix == ".tar" and not old.is_symlink():
            fix = "move it away, or index that folder by itself"
            raise ShardError("a tar of its own where links of the split would be", where=old, fix=fix)
        old.unlink()
    for tar in tars:
        (folder / tar.name).symlink_to(os.path.relpath(tar, folder))


def _forget_mixed_set(root: Path, tars: list[Path]) -> None:
    """Remove the manifest and indices of an earlier index that took all splits for one set."""
    for path in (root / MANIFEST_NAME, root / ERRORS_NAME, *(tar.with_suffix(".idx") for tar in tars)):
        path.unlink(missing_ok=True)


def _warnings(indexed: list[IndexedTar], manifest: Manifest) -> Iterator[str]:
    yield from _remarks(indexed).lines(is_labelled=bool(manifest.classes))
    if num_webp := sum(result.suffixes["webp"] for result in indexed):
        yield f"{num_webp:,} pictures are WebP, which DALI decodes on the CPU, wherever the others are decoded"


def _remarks(indexed: Iterable[IndexedTar]) -> Remarks:
    remarks = Remarks.none()
    for result in indexed:
        remarks.add(result.remarks)
    return remarks
