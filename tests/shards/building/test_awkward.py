"""The awkward collection and fuzzed JPEGs: all classified, nothing crashes, DALI decodes what got through."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shards.building.events import read_errors
from shards.pictures.inspect import inspect
from shards.pictures.troubles import Trouble
from shards.remote.store import store_at
from shards.sources.folders import ClassFolders, FlatFolder
from shards.tars.manifest import Manifest

Run = Callable[..., tuple[Manifest, bool]]
Decode = Callable[[Path], list[tuple[str, tuple[int, ...]]]]
BROKEN = {
    Trouble.TRUNCATED,
    Trouble.CORRUPT,
    Trouble.UNSUPPORTED,
    Trouble.EMPTY,
    Trouble.NOT_AN_IMAGE,
    Trouble.TOO_LARGE,
}


def expected_troubles(row: dict[str, str]) -> set[Trouble]:
    """What the collection's own MANIFEST implies: (at least) one of these, or nothing."""
    if row["magic"] in ("empty", "html", "lfs"):
        return {Trouble.EMPTY if row["magic"] == "empty" else Trouble.NOT_AN_IMAGE}
    if row["magic"] != "jpeg":
        return {Trouble.MISNAMED, Trouble.RARE_FORMAT}
    if row["pil_load"] != "ok":
        return BROKEN
    if row["mode"] == "CMYK":
        return {Trouble.CMYK}
    if row["simplejpeg"] != "ok":
        return {Trouble.CORRUPT, Trouble.BAD_METADATA, Trouble.UNUSUAL}
    return {Trouble.ROTATED} if row["orientation"] in set("2345678") else set()


def test_every_file_is_classified_as_its_manifest_says(awkward: Path) -> None:
    rows = list(csv.DictReader((awkward / "MANIFEST.tsv").read_text().splitlines(), delimiter="\t"))
    assert len(rows) > 90
    for row in rows:
        seen = inspect((awkward / row["path"]).read_bytes(), row["path"])
        found = {finding.trouble for finding in seen.findings}
        expected = expected_troubles(row)
        assert bool(found) == bool(expected), (row["path"], found, expected)
        assert not expected or found & expected, (row["path"], found, expected)


@pytest.mark.filterwarnings("ignore")
def test_a_dali_epoch_over_the_result_never_fails(
    tmp_path: Path, awkward: Path, run_build: Run, decode_with_dali: Decode
) -> None:
    manifest, _ = run_build(ClassFolders(root=awkward), tmp_path / "out")
    seen = decode_with_dali(tmp_path / "out")
    assert len(seen) == manifest.num_samples > 70
    assert manifest.num_samples + manifest.num_dropped == 101
    assert {event["action"] for event in read_errors(store_at(tmp_path / "out"))} == {"kept", "fixed", "quarantined"}


def fuzzed(seeds: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """JPEGs with bytes flipped, the end cut, or a run zeroed."""
    random = np.random.default_rng(7)
    for number in range(count):
        content = bytearray(seeds[number % len(seeds)].read_bytes())
        kind = ("flip", "cut", "zero")[number % 3]
        if kind == "flip":
            for _ in range(int(random.integers(1, 20))):
                content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        elif kind == "cut":
            del content[int(random.integers(2, len(content))) :]
        else:
            start = int(random.integers(len(content)))
            end = min(len(content), start + int(random.integers(1, 600)))
            content[start:end] = bytes(end - start)
        yield f"{kind}_{number:05d}.jpg", bytes(content)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_thousand_fuzzed_jpegs_neither_crash_nor_reach_dali_undecodable(
    tmp_path: Path, imagenet_samples: Path, run_build: Run, decode_with_dali: Decode
) -> None:
    seeds = sorted(imagenet_samples.glob("*.JPEG"), key=lambda path: path.stat().st_size)[:128]
    (tmp_path / "fuzzed").mkdir()
    for name, content in fuzzed(seeds, 2000):
        (tmp_path / "fuzzed" / name).write_bytes(content)
    manifest, _ = run_build(FlatFolder(root=tmp_path / "fuzzed"), tmp_path / "out")
    assert manifest.num_samples + manifest.num_dropped == 2000
    print(f"let through {manifest.num_samples}, left out {manifest.num_dropped}")
    assert len(decode_with_dali(tmp_path / "out")) == manifest.num_samples
