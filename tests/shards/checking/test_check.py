"""Checking sound, damaged and foreign tars, and the figures that say whether a set will train well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tars import write_tar

from shards.checking.check import CheckReport, check, local_entropy, plan_check, steps_line
from shards.checking.contact_sheet import contact_sheet
from shards.errors import ShardError
from shards.sources.folders import ClassFolders
from shards.tars.shardset import load_shard_set


@pytest.fixture
def out(tmp_path: Path, tree: Path, run_build: Callable[..., object]) -> Path:
    run_build(ClassFolders(root=tree), tmp_path / "out", shard_mib=0.01)
    return tmp_path / "out"


@pytest.fixture
def run_check(executor: object) -> Callable[..., CheckReport]:
    def run(root: Path, *, full: bool = True) -> CheckReport:
        return check(plan_check(root, full=full), executor)  # type: ignore[arg-type]

    return run


def patch(path: Path, offset: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(data)


def test_a_fresh_set_is_sound(out: Path, run_check: Callable[..., CheckReport]) -> None:
    report = run_check(out)
    assert report.problems == []
    assert any("21 samples; members: .cls (21x), .jpg (21x), .json (21x)" in fact for fact in report.facts)


def test_full_finds_a_flipped_byte_in_a_picture_by_checksum(out: Path, run_check: Callable[..., CheckReport]) -> None:
    patch(out / "shard-000001.tar", 512 + 300, b"\xff")
    assert run_check(out, full=False).problems == []
    problems = run_check(out).problems
    assert any("shard-000001.tar: sha256 is" in problem for problem in problems)


def test_damaged_header_is_found_without_full(out: Path, run_check: Callable[..., CheckReport]) -> None:
    patch(out / "shard-000000.tar", 3, b"x")
    assert "damaged tar header" in run_check(out, full=False).problems[0]


def test_index_of_another_tar_is_found(tmp_path: Path, out: Path, run_check: Callable[..., CheckReport]) -> None:
    (out / "manifest.json").unlink()
    (out / "shard-000000.idx").write_bytes((out / "shard-000001.idx").read_bytes())
    assert any("shard-000000.idx" in problem for problem in run_check(out, full=False).problems)


def test_foreign_tars_are_explained(
    tmp_path: Path, make_picture: Callable[..., bytes], run_check: Callable[..., CheckReport]
) -> None:
    members = [(f"{n}.jpeg", make_picture(n)) for n in range(4)] + [("x.y.jpeg", make_picture(9))]
    write_tar(tmp_path / "a.tar", members)
    write_tar(tmp_path / "b.tar", [("0.JPEG", make_picture(5)), ("0.JPEG", make_picture(5)), ("n.txt", b"")])
    report = run_check(tmp_path)
    text = "\n".join(report.facts + report.problems)
    assert "0 samples have .jpg; found .jpeg" in text
    assert "upper-case suffixes" in text
    assert "dots in names" in text
    assert "1 of 7 samples have no picture" in text
    assert "python -m shards index" in text
    assert any("the same suffix twice" in problem for problem in report.problems)
    assert "1 of 6 keys occur more than once, such as 0 in a.tar and b.tar" in report.problems


def test_pictures_that_dali_cannot_decode_are_named(
    tmp_path: Path, make_picture: Callable[..., bytes], run_check: Callable[..., CheckReport]
) -> None:
    write_tar(tmp_path / "a.tar", [("0.jpg", make_picture(0)[:-90]), ("1.jpg", b""), ("2.jpg", make_picture(0))])
    assert [problem.split(": ")[1:3] for problem in run_check(tmp_path).problems] == [
        ["0", "truncated"],
        ["1", "empty"],
    ]


def test_folder_without_tars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no tars to check"):
        plan_check(tmp_path, full=False)


def test_sorted_classes_have_low_local_entropy() -> None:
    labels = np.repeat(np.arange(20, dtype=np.int32), 500)
    assert local_entropy(labels) < 2
    assert local_entropy(np.random.default_rng(0).permutation(labels)) > 4.2


@pytest.mark.parametrize(
    ("num", "world", "batch", "start"),
    [(1_281_167, 8, 256, "625 steps"), (100, 3, 10, "3 steps"), (5, 1, 10, "0 steps")],
)
def test_steps_are_whole_global_batches(num: int, world: int, batch: int, start: str) -> None:
    assert steps_line(num, world, batch).startswith(start)
    assert f"{num % (world * batch):,}" in steps_line(num, world, batch)


def test_contact_sheet_shows_each_class_in_its_row(out: Path) -> None:
    sheet = contact_sheet(load_shard_set(out), per_class=4)
    assert isinstance(sheet, Image.Image)
    assert sheet.size == (160 + 4 * 100, 3 * 100)
    assert np.asarray(sheet)[0:90, 160:250].std() > 5
