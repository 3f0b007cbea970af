"""What a rank takes of its machine, against what this test takes on purpose."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from swav_dali.watch import machine as module
from swav_dali.watch.machine import Machine, peak_tflops


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_cpu_time_of_this_process_and_its_memory_are_told() -> None:
    machine = Machine(torch.device("cpu"))
    began = time.perf_counter()
    burn(0.3)
    figures = machine.figures(images=10)
    wall = time.perf_counter() - began
    assert figures["cpu_cores"] == pytest.approx(0.3 / wall, rel=0.3)
    assert 0 < figures["host_cpu_share"] <= 1
    assert 0 < figures["host_memory_share"] < 1
    own = figures["cpu_cores"] / (os.cpu_count() or 1)
    assert figures["other_cpu_share"] == pytest.approx(max(0, figures["host_cpu_share"] - own))
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert figures["rss_gib"] == pytest.approx(int(resident.split()[1]) / 2**20, rel=0.1)


def test_threads_of_the_pipeline_are_known_by_name_and_their_time_is_counted() -> None:
    machine = Machine(torch.device("cpu"))
    assert machine.figures(images=1)["pipeline_busy_share"] != machine.figures(images=1)["pipeline_busy_share"]  # NaN
    named, go, done, stop = (threading.Event() for _ in range(4))

    def work() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("[DALI][TP0]Exec")
        named.set()
        go.wait()
        burn(0.2)
        done.set()
        stop.wait()

    worker = threading.Thread(target=work)
    worker.start()
    named.wait()
    machine.restart()
    began = time.perf_counter()
    go.set()
    burn(0.1)
    done.wait()
    figures = machine.figures(images=10)
    wall = time.perf_counter() - began
    stop.set()
    worker.join()
    assert figures["pipeline_cpu_ms"] == pytest.approx(20, rel=0.15)  # 200 ms for ten images
    assert 0.17 / wall < figures["pipeline_busy_share"] <= 1


def test_bytes_from_storage_are_told_where_the_kernel_does() -> None:
    assert module._stored_bytes() >= 0 or not os.access("/proc/self/io", os.R_OK)


def test_only_known_devices_have_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"NVIDIA H100 PCIe": 756.0, "NVIDIA H100 80GB HBM3": 989.5, "NVIDIA H200": 989.5, "NVIDIA L40S": 362.0}
    for name, peak in names.items():
        monkeypatch.setattr("swav_dali.watch.machine.torch.cuda.get_device_name", lambda device, name=name: name)
        assert peak_tflops(torch.device("cuda")) == peak
    assert peak_tflops(torch.device("cpu")) != peak_tflops(torch.device("cpu"))  # NaN


class Made(NamedTuple):
    """A made-up machine of two cores: ticks of the machine, and seconds run and waited of two threads."""

    busy: float
    total: float
    cpu: float
    loop: tuple[float, float]
    helper: tuple[float, float]


@pytest.mark.parametrize(
    ("after", "crowded"),
    [
        (Made(200, 200, 0.5, (0.5, 0.5), (0.0, 0.0)), 0.5),  # one core of two is wanted half the time, all of others
        (Made(200, 200, 2.0, (0.5, 0.5), (0.5, 0.5)), 0.0),  # this process holds both cores itself
        (Made(200, 200, 1.25, (0.5, 0.5), (0.0, 0.0)), 0.25),  # of the 1.5 cores beside the loop's others hold half
        (Made(200, 200, 0.5, (0.5, 0.1), (0.2, 0.4)), 0.4),  # arithmetic waits for the last of its threads
        (Made(100, 200, 1.0, (1.0, 0.0), (0.0, 0.0)), 0.0),
    ],
)
def test_time_without_a_core_counts_as_far_as_others_hold_them(
    monkeypatch: pytest.MonkeyPatch, after: Made, crowded: float
) -> None:
    """One second of wall clock in which ticks are hundredths."""
    now = {"made": Made(0, 0, 0, (0, 0), (0, 0)), "clock": 0.0}
    loop = threading.get_native_id()

    def threads() -> Iterator[Any]:
        made: Any = now["made"]
        yield module._Thread(loop, "python", *made.loop)
        yield module._Thread(loop + 1, "python", *made.helper)
        yield module._Thread(loop + 2, "[DALI][TP0]", 3 * made.loop[0], made.loop[0])

    monkeypatch.setattr(module, "_threads", threads)
    monkeypatch.setattr(module, "_CORES", 2)
    monkeypatch.setattr(module, "_host_ticks", lambda: now["made"][:2])  # type: ignore[index]
    times = type("Times", (), {"user": property(lambda _: now["made"].cpu), "system": 0})  # type: ignore[attr-defined]
    times.children_user = times.children_system = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(module.os, "times", times)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now["clock"])
    machine = Machine(torch.device("cpu"))
    now.update(made=after, clock=1.0)
    figures = machine.figures(images=1)
    assert figures["loop_crowded_share"] == pytest.approx(crowded)
    theirs = crowded / max(after.loop[1], after.helper[1], 1e-9)
    assert figures["pipeline_crowded_share"] == pytest.approx(0.25 * theirs)
