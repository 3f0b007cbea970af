"""Progress is said every few seconds, adds up over threads, and always says its end."""

from __future__ import annotations

import re
import threading

import pytest

from shards.host import progress
from shards.host.progress import Amount, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only item."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_five_seconds_and_at_the_end(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("build", Amount(200e6, 1000), before=Amount(20e6, 100)) as shown:
        for step in range(1, 10):
            clock[0] += 1
            shown.show(Amount(20e6 + step * 20e6, 100 + step * 100))
    assert capsys.readouterr().err.splitlines() == [
        "build: 600/1,000 images  100 images/s  20.0 MB/s  0:04 left",
        "build: 1,000/1,000 images  100 images/s  20.0 MB/s  0:00 left",
    ]


def test_bytes_alone_are_counted_in_gb(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("md5", Amount(4e9)) as shown:
        clock[0] += 10
        shown.add(1_000_000_000)
        clock[0] += 30
        shown.add(3_000_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "md5: 1.00/4.00 GB  100 MB/s  0:30 left",
        "md5: 4.00/4.00 GB  100 MB/s  0:00 left",
    ]


def test_bytes_of_several_threads_add_up_to_all_images(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("stage", Amount(4000, 10)) as shown:
        threads = [threading.Thread(target=lambda: [shown.add(10) for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert re.fullmatch(r"stage: 10/10 images .* 0:00 left\n", capsys.readouterr().err)


def test_nothing_to_do_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("check", Amount(0)) as shown:
        shown.add(0)
    assert capsys.readouterr().err.startswith("check: 0.00/0.00 GB")


def test_work_that_fails_does_not_say_that_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with Progress("check", Amount(10)) as shown:
            shown.add(5)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_same_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("build", Amount(2e6, 10)) as shown:
        shown.show(Amount(2e6, 10))
    assert re.search(r"build .*100%", capsys.readouterr().err)
