"""The worked example of docs/launching.md: a run over two hosts, by torchrun or as by srun, one rank on each.

`python tests/tools/two_nodes.py DATA RUNS [--srun] [options of train.py]` runs it on two network namespaces of this
machine, which takes root.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import training
from hosts import NAMES, Hosts, two_hosts

JOB = "4711"
_PORT = "29500"
_CLOSED = ["GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "MASTER_ADDR", "MASTER_PORT"]  # nothing of this shell's


class Nodes:
    """A run on both hosts, and what each has said so far."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
        """Take over running processes."""
        self.processes, self.logs = processes, logs

    def said(self, index: int) -> str:
        """Everything that host `index` has said."""
        return self.logs[index].read_text(errors="replace")

    def wait_for(self, is_reached: Callable[[], bool], seconds: float = 600.0) -> None:
        """Until it is so; raises TimeoutError after `seconds`, or RuntimeError if a host has ended before."""
        until = time.monotonic() + seconds
        while not is_reached():
            if any(process.poll() is not None for process in self.processes):
                raise RuntimeError("\n".join(self.said(index)[-3000:] for index in range(2)))
            if time.monotonic() > until:
                raise TimeoutError("\n".join(self.said(index)[-3000:] for index in range(2)))
            time.sleep(0.05)

    def codes(self, seconds: float = 600.0) -> list[int]:
        """Exit codes of both hosts' launchers; raises subprocess.TimeoutExpired."""
        until = time.monotonic() + seconds
        return [process.wait(max(0.0, until - time.monotonic())) for process in self.processes]


@contextmanager
def started(hosts: Hosts, train: list[str], folder: Path, *, srun: bool = False, **environment: str) -> Iterator[Nodes]:
    """`train.py` with these arguments on both hosts.

    Args:
        hosts: where.
        train: what follows `train.py`.
        folder: for logs.
        srun: with the variables that srun sets, instead of torchrun.
        environment: set on both hosts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = [folder / f"{name}.log" for name in NAMES]
    processes = []
    base = {key: value for key, value in training.environment().items() if key not in _CLOSED}
    for index, log in enumerate(logs):
        command = [sys.executable, *([] if srun else _torchrun()), "train.py", *train]
        with log.open("wb") as file:
            processes.append(
                subprocess.Popen(
                    hosts.command(index, command, folder / "hosts"),
                    cwd=training.ROOT,
                    env={**base, **(_srun(index) if srun else {}), **environment},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        yield Nodes(processes, logs)
    finally:
        for process in processes:
            for pid in (*training.descendants(process.pid), process.pid):
                training.kill(pid)
            process.wait()


def _torchrun() -> list[str]:
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{NAMES[0]}:{_PORT}"]
    return ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-id", JOB, *meeting]


def _srun(index: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": JOB,
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": "0",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_STEP_NODELIST": "node-[a,b]",
    }


def main() -> int:
    """Run it to its end; the worse exit code of the two."""
    data, runs, *options = sys.argv[1:]
    srun = "--srun" in options
    extra = [word for word in options if word != "--srun"]
    train = training.command(Path(data), Path(runs), "two-nodes", data__batch_size="2", data__validation="none")
    with (
        two_hosts() as hosts,
        tempfile.TemporaryDirectory() as logs,
        started(hosts, [*train[2:], *extra], Path(logs), srun=srun) as nodes,
    ):
        codes = nodes.codes(1800)
        for index, name in enumerate(NAMES):
            print(f"== {name}, exit code {codes[index]}\n{nodes.said(index)}")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
