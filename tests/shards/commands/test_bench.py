"""The bench works on what it says, adds up, and its command runs from end to end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.bench.lineup import BUILD, BUILD_FAST, DECODE, READ, SHARD_WRITER, START_UP, TAR, line_up
from shards.bench.loops import Run, run_loop
from shards.bench.report import GOALS, compare, sentences, table, write_record
from shards.bench.working_set import make_working_set, with_comment
from shards.errors import ShardError
from shards.harness.turns import Contestant, Timing, Turn
from shards.pictures.inspect import inspect

Make = Callable[..., bytes]
ROOT = Path(__file__).parents[3]


def timing(name: str, *turns: tuple[float, float]) -> Timing:
    """Of 100 pictures of 50 kB; (seconds, CPU seconds) of each turn."""
    entry = Contestant(name=name, parallel=1, run=lambda: Turn(100, 1, 1), bytes_per_item=50_000)
    return Timing(contestant=entry, turns=[Turn(100, *turn) for turn in turns])


TIMINGS = [
    timing(TAR, (1.0, 1.0), (1.0, 1.0), (2.0, 1.0)),
    timing(BUILD_FAST, (1.5, 2.5), (1.5, 2.5), (1.5, 2.5)),
    timing(DECODE, (5.0, 10.0), (5.0, 10.0), (5.0, 10.0)),
    timing(BUILD, (4.0, 7.5), (4.0, 7.5), (4.0, 7.5)),
    timing(SHARD_WRITER, (40.0, 40.0), (40.0, 40.0), (40.0, 40.0)),
    timing(START_UP, (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
]


def test_ratios_are_medians_of_the_rounds_with_and_without_start_up() -> None:
    found = compare(GOALS[0], TIMINGS)
    assert found.wall == pytest.approx((2 / 3, 2 / 3, 4 / 3))
    assert (found.after_start, found.per_cpu) == pytest.approx((1.0, 0.5))


def test_sentences_say_which_goals_are_reached() -> None:
    start, *goals = sentences(TIMINGS)
    assert start.startswith("start-up of a build: 0.50 s")
    assert ["missed" in goal for goal in goals] == [True, False, False]
    assert "67 % of the bytes per second" in goals[0]
    assert "125 % of the rate of decoding" in goals[1]
    assert "10.0 x of ShardWriter's rate" in goals[2]


def test_table_and_record_hold_every_contestant(tmp_path: Path) -> None:
    write_record(tmp_path / "bench.json", TIMINGS, setting={})
    lines, written = table(TIMINGS), json.loads((tmp_path / "bench.json").read_text())
    assert len(lines) == len(TIMINGS) + 1
    assert "67 " in lines[2]
    assert [result["name"] for result in written["results"]] == [each.contestant.name for each in TIMINGS]
    assert written["goals"][2]["ratio"]["wall"] == pytest.approx(10)
    assert written["results"][0]["mb_per_second"] == pytest.approx(5)


def test_copies_are_sound_differ_in_bytes_and_show_the_same(tmp_path: Path, make_picture: Make) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "in" / "deep" / f"{number}.jpg").write_bytes(make_picture(number, progressive=number == 1))
    (tmp_path / "in" / "cut.jpg").write_bytes(make_picture(7)[:-9])
    (tmp_path / "in" / "x.png").write_bytes(make_picture(8, kind="PNG"))
    pictures = make_working_set(tmp_path / "in", tmp_path / "out", num_copies=4)
    assert [len(copy) for copy in pictures.copies] == [3, 3, 3, 3]
    contents = [path.read_bytes() for copy in pictures.copies for path in copy]
    assert len(set(contents)) == 12
    assert all(not inspect(content, "x.jpg").findings for content in contents)
    decoded = [np.asarray(Image.open(io.BytesIO(content))) for content in contents]
    assert all(np.array_equal(decoded[number], decoded[number % 3]) for number in range(12))
    assert len(pictures.part(1)) == 12
    assert len(pictures.part(0.5)) == 6
    assert len(pictures.part(0.01)) == 3


def test_comment_is_read_back_by_pillow(make_picture: Make) -> None:
    assert Image.open(io.BytesIO(with_comment(make_picture(0), b"00042"))).info["comment"] == b"00042"


def test_a_folder_without_sound_jpegs_is_refused(tmp_path: Path, make_picture: Make) -> None:
    (tmp_path / "x.png").write_bytes(make_picture(0, kind="PNG"))
    with pytest.raises(ShardError, match="no JPEG without trouble"):
        make_working_set(tmp_path, tmp_path / "out", num_copies=None)


def test_a_set_that_does_not_fit_on_the_disk_is_refused(tmp_path: Path, make_picture: Make) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(make_picture(0, size=(200, 200)))
    with pytest.raises(ShardError, match=r"not enough free space.*--copies"):
        make_working_set(tmp_path / "in", tmp_path / "out", num_copies=1 << 40)


def failing(paths: Sequence[Path]) -> Run:
    raise RuntimeError(f"cannot prepare {len(paths)}")


def test_a_loop_that_fails_is_reported_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ShardError, match="a process of the bench failed"):
        run_loop(failing, [Path("a")], 1)


def test_the_command_times_everyone_and_leaves_nothing_behind(tmp_path: Path, make_picture: Make) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "work").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(make_picture(number))
    command = [sys.executable, "-m", "shards", "bench", str(tmp_path / "in"), "--workers", "1", "--rounds", "1"]
    flags = ["--copies", "2", "--folder", str(tmp_path / "work"), "--json", str(tmp_path / "bench.json")]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [result["images"] for result in written["results"]] == [8, 8, 8, 4, 4, 8, 4, 8, 1]
    assert all(result["cpu_seconds"][0] > 0 for result in written["results"] if result["name"] != READ)
    assert "(c) build with every picture verified" in done.stdout
    assert list((tmp_path / "work").iterdir()) == []


def test_a_failing_peer_is_named(tmp_path: Path, make_picture: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(make_picture(0))
    pictures = make_working_set(tmp_path / "in", tmp_path / "pictures", num_copies=1)
    tar = next(entry for entry in line_up(pictures, tmp_path, workers=1) if entry.name == TAR)
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    tar.prepare()
    with pytest.raises(ShardError, match=r"tar cf .* failed with exit code 2"):
        tar.run()
