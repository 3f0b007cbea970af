"""A figure that raises, crashes or hangs costs itself; no process is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swav_dali.gpu_check.figures import Figure
from swav_dali.gpu_check.setting import Setting
from swav_dali.gpu_check.supervise import Supervisor


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(device="cpu", tiny=True, work=tmp_path, shards=None, pictures=16)


def figure(name: str, **keywords: int) -> Figure:
    return Figure(name=name, function=f"faulty_figures:{name}", limit=30, keywords=keywords)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_one_process_makes_figure_after_figure_and_a_mistake_does_not_end_it(setting: Setting) -> None:
    with Supervisor(setting) as supervisor:
        status, _, first = supervisor.run(figure("works", number=3), limit=30)
        assert (status, first["value"]["number"]) == ("ok", 3)
        status, _, failed = supervisor.run(figure("raises"), limit=30)
        assert (status, failed["error"]) == ("failed", "ValueError: no such crop")
        assert "faulty_figures" in failed["trace"]
        _, _, second = supervisor.run(figure("works", number=4), limit=30)
        assert second["value"] == {"number": 4, "process": first["value"]["process"]}
    assert not is_alive(first["value"]["process"])


def test_a_crash_is_said_with_its_signal_and_the_next_figure_has_a_new_process(setting: Setting) -> None:
    with Supervisor(setting) as supervisor:
        status, _, found = supervisor.run(figure("crashes"), limit=30)
        assert (status, found["error"]) == ("crashed", "the process is gone, signal 6")
        assert supervisor.run(figure("works", number=1), limit=30)[0] == "ok"


def test_a_figure_that_outlives_its_limit_is_ended_with_its_children(setting: Setting) -> None:
    with Supervisor(setting) as supervisor:
        status, seconds, found = supervisor.run(figure("hangs"), limit=6)
        assert (status, found["error"]) == ("timed out", "not done after 6 s")
        assert seconds < 15
        pids = [int(pid) for pid in (setting.work / "child").read_text().split()]
        assert wait_until(lambda: not any(map(is_alive, pids)))
        assert supervisor.run(figure("works", number=1), limit=30)[0] == "ok"
