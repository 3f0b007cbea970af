"""What a rank takes of its machine, against what this test takes on purpose."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

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
    own = figures["cpu_cores"] / (os.cpu_count() or 1)
    assert figures["other_cpu_share"] == pytest.approx(max(0, figures["host_cpu_share"] - own))
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert figures["rss_gib"] == pytest.approx(int(resident.split()[1]) / 2**20, rel=0.1)


def test_threads_of_the_pipeline_are_known_by_name_and_their_time_is_counted() -> None:
    machine = Machine(torch.device("cpu"))
    assert machine.figures(images=1)["pipeline_busy_share"] != machine.figures(images=1)["pipeline_busy_share"]  # NaN
    stop = threading.Event()

    def work() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("[DALI][TP0]Exec")
        burn(0.2)
        stop.wait()

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.05)
    machine.restart()
    began = time.perf_counter()
    burn(0.1)
    time.sleep(0.3)
    figures = machine.figures(images=10)
    wall = time.perf_counter() - began
    stop.set()
    worker.join()
    assert 5 <= figures["pipeline_cpu_ms"] <= 22  # at most 200 ms for ten images, some of it before
    assert 0.05 / wall < figures["pipeline_busy_share"] <= 1


def test_bytes_from_storage_are_told_where_the_kernel_does() -> None:
    assert module._stored_bytes() >= 0 or not os.access("/proc/self/io", os.R_OK)


def test_only_known_devices_have_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"NVIDIA H100 PCIe": 756.0, "NVIDIA H100 80GB HBM3": 989.5, "NVIDIA H200": 989.5, "NVIDIA L40S": 362.0}
    for name, peak in names.items():
        monkeypatch.setattr("swav_dali.watch.machine.torch.cuda.get_device_name", lambda device, name=name: name)
        assert peak_tflops(torch.device("cuda")) == peak
    assert peak_tflops(torch.device("cpu")) != peak_tflops(torch.device("cpu"))  # NaN
