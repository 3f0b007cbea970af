"""What a rank takes of its machine since the last record: processor, memory, storage and, where NVML answers, the GPU.

Linux tells all of it in /proc. The threads of the data pipeline are known by the names DALI gives them; what they run
and what they wait for a core tells a pipeline that computes from one that waits for its storage. Waiting for a core
is the machine's fault only as far as other processes hold the cores.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from swav_dali.watch.record import Local

_POOL_THREADS = ("[DALI][TP",)  # they decode and make crops; the reader's own thread has another name
_PIPELINE_THREADS = (*_POOL_THREADS, "[DALI] Executor")  # which takes the place of a thread in a pool of one
_CORES = os.cpu_count() or 1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NAN = float("nan")
_PEAK_TFLOPS = {
    "H200": 989.5,
    "H100 PCIe": 756.0,
    "H100": 989.5,
    "GH200": 989.5,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
}
"""Dense bfloat16 arithmetic by the makers' data sheets, by a part of the device's name; the first that fits."""


class _Thread(NamedTuple):
    """Seconds it ran and waited for a core, since its start."""

    id: int
    name: str
    ran: float
    waited: float


@dataclass(frozen=True, slots=True)
class _Reading:
    """Counters that only grow; seconds, bytes."""

    process_seconds: float
    host_busy: float
    host_total: float
    stored_bytes: float
    threads: int
    threads_ran: float
    threads_wanted: float
    step_ran: float
    step_waited: dict[int, float]


class Machine:
    """Reads the counters at every record; nothing in it waits for the device."""

    def __init__(self, device: torch.device, *, ranks_here: int = 1) -> None:
        """Count from now; `ranks_here` processes like this one share the machine."""
        self._device, self._ranks_here = device, ranks_here
        self._loop = threading.get_native_id()
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._last, self._began = _read(self._loop), time.perf_counter()

    def figures(self, *, images: int) -> Local:
        """What was taken since the last call, NaN where this machine does not tell.

        Args:
            images: images this rank trained on in that time.
        """
        last, seconds = self._last, time.perf_counter() - self._began
        self.restart()
        now = self._last
        ran, wanted = now.threads_ran - last.threads_ran, now.threads_wanted - last.threads_wanted
        host = now.host_total - last.host_total
        host_share = (now.host_busy - last.host_busy) / host if host > 0 else _NAN
        cores = (now.process_seconds - last.process_seconds) / seconds
        busy = min(1.0, wanted / (seconds * now.threads)) if now.threads else _NAN
        others = max(0.0, host_share - self._ranks_here * cores / _CORES)
        beside = host_share - (now.step_ran - last.step_ran) / seconds / _CORES
        theirs = min(1.0, others / beside) if beside > 0 else 0.0  # of the cores that a waiting thread waits for
        waited = max((total - last.step_waited.get(id_, 0.0) for id_, total in now.step_waited.items()), default=0.0)
        return {
            "host_cpu_share": host_share,
            "other_cpu_share": others,
            "loop_crowded_share": min(1.0, waited / seconds) * theirs,
            "pipeline_crowded_share": busy * (1 - ran / wanted) * theirs if wanted > 0 else busy,
            "cpu_cores": cores,
            "rss_gib": _resident_bytes() / 2**30,
            "host_memory_share": _memory_share(),
            "storage_mb_per_second": (now.stored_bytes - last.stored_bytes) / seconds / 1e6,
            "pipeline_busy_share": busy,
            "pipeline_cpu_ms": 1000 * ran / images if now.threads else _NAN,
            **_gpu(self._device),
        }


def peak_tflops(device: torch.device) -> float:
    """Dense bfloat16 peak of a CUDA device in TFLOP/s, NaN where it is not known."""
    if device.type != "cuda":
        return _NAN
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAK_TFLOPS.items() if part in name), _NAN)


def _read(loop: int) -> _Reading:
    """The counters; `loop` is the thread of the training loop."""
    busy, total = _host_ticks()
    threads = {thread.id: thread for thread in _threads()}
    pipeline = [thread for thread in threads.values() if thread.name.startswith(_PIPELINE_THREADS)]
    step = [thread for thread in threads.values() if loop in threads and thread.name == threads[loop].name]
    times = os.times()
    return _Reading(
        process_seconds=times.user + times.system + times.children_user + times.children_system,
        host_busy=busy,
        host_total=total,
        stored_bytes=_stored_bytes(),
        threads=sum(thread.name.startswith(_POOL_THREADS) for thread in pipeline),
        threads_ran=sum(thread.ran for thread in pipeline),
        threads_wanted=sum(thread.ran + thread.waited for thread in pipeline),
        step_ran=threads[loop].ran if loop in threads else 0.0,
        step_waited={thread.id: thread.waited for thread in step},
    )


def _threads() -> Iterator[_Thread]:
    """This process's threads; those that share the arithmetic of the loop's are named after it."""
    for task in Path("/proc/self/task").iterdir():
        try:
            ran, waited, _ = (task / "schedstat").read_text().split()
            yield _Thread(int(task.name), (task / "comm").read_text(), int(ran) / 1e9, int(waited) / 1e9)
        except OSError:  # the thread has ended since, or this kernel keeps no such figures
            continue


def _host_ticks() -> tuple[float, float]:
    """The machine's ticks since it was started: not idle, and all."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return float(sum(ticks) - ticks[3] - ticks[4]), float(sum(ticks))


def _stored_bytes() -> float:
    """Bytes this process had fetched from storage, pages of mapped files included; NaN where that is not told."""
    try:
        lines = Path("/proc/self/io").read_text().split("\n")
    except OSError:  # in some containers
        return _NAN
    return float(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def _resident_bytes() -> float:
    return float(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _memory_share() -> float:
    sizes = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (float(sizes[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 1 - free / total


def _gpu(device: torch.device) -> Local:
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    return {
        "peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30,
        "device_memory_gib": (total - free) / 2**30,
        "beside_torch_memory_gib": (total - free - torch.cuda.memory_reserved(device)) / 2**30,
        "allocator_retries": torch.cuda.memory_stats(device).get("num_alloc_retries", 0),
        **_nvml(device),
    }


def _nvml(device: torch.device) -> Local:
    """How busy the GPU is and what it draws, of the last moments; NaN where NVML does not answer."""
    unknown = {"gpu_utilization": _NAN, "gpu_power_watts": _NAN}
    try:
        import pynvml  # torch's own calls import it too; a run goes on where it is not installed
    except ModuleNotFoundError:
        return unknown
    try:
        return {
            "gpu_utilization": torch.cuda.utilization(device) / 100,
            "gpu_power_watts": torch.cuda.power_draw(device) / 1000,
        }
    except (RuntimeError, pynvml.NVMLError):  # no driver library, or a device that keeps it to itself
        return unknown
