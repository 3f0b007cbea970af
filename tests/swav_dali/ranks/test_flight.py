"""torch's flight recorder: on by default, never against a person's own settings, its file named when ranks part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import training

from swav_dali.ranks import flight
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.group import barrier, process_group
from swav_dali.ranks.lost import lost_rank
from swav_dali.ranks.world import World

NAMES = (
    "TORCH_FR_BUFFER_SIZE",
    "TORCH_FR_DUMP_TEMP_FILE",
    "TORCH_NCCL_DUMP_ON_TIMEOUT",
    "TORCH_NCCL_TRACE_BUFFER_SIZE",
    "TORCH_NCCL_DEBUG_INFO_TEMP_FILE",
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)


def set_names() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_it_is_on_and_writes_into_the_run_folder(tmp_path: Path) -> None:
    flight.record_collectives(tmp_path / "run" / "flight", entries=2000)
    assert set_names() == {
        "TORCH_FR_BUFFER_SIZE": "2000",
        "TORCH_FR_DUMP_TEMP_FILE": f"{tmp_path}/run/flight/rank-",
        "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
    }
    assert flight.record_path(3) == tmp_path / "run" / "flight" / "rank-3"
    flight.make_room()
    assert (tmp_path / "run" / "flight").is_dir()


@pytest.mark.parametrize("names", [NAMES[:3], ("TORCH_NCCL_TRACE_BUFFER_SIZE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")])
def test_what_a_person_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        monkeypatch.setenv(name, f"{tmp_path}/mine-" if "FILE" in name else "0")
    before = set_names()
    flight.record_collectives(Path("run/flight"), entries=2000)
    assert {name: os.environ[name] for name in before} == before
    assert not {"TORCH_FR_BUFFER_SIZE", "TORCH_FR_DUMP_TEMP_FILE"} & (set_names().keys() - before.keys())
    assert flight.record_path(1) is None  # their buffer is empty
    monkeypatch.setenv(names[0], "100")
    assert flight.record_path(1) == tmp_path / "mine-1"


def test_nothing_is_recorded_or_written_where_nobody_asked() -> None:
    assert flight.record_path(0) is None
    assert flight.write_record(0) is None


def the_second_stays_away(world: World, folder: str) -> str:
    flight.record_collectives(Path(folder) / "flight", entries=50)
    with process_group(world, timeout_seconds=2):
        barrier()
        if world.rank == 1:
            time.sleep(5)
            return ""
        try:
            dist.all_reduce(torch.ones(7))
        except RuntimeError as error:
            return str(lost_rank(error, world.rank))
    return "no error"


def own_group(world: World, folder: str) -> str:
    """Leave the fixture's process group for one with a short timeout."""
    dist.destroy_process_group()
    meeting = (Path(folder) / "meeting").as_uri()
    again = World(rank=world.rank, size=world.size, local_rank=world.rank, device=CPU, rendezvous=meeting)
    try:
        return the_second_stays_away(again, folder)
    finally:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # for the fixture to destroy


def test_a_rank_that_waits_in_vain_says_so_and_where_its_last_collectives_are(
    run_ranks: Callable[..., list[Any]], tmp_path: Path
) -> None:
    said, _ = run_ranks(own_group, 2, str(tmp_path))
    record = tmp_path / "flight" / "rank-0.json"
    assert said.startswith(
        "the connection to another rank is lost, found no answer within 2 s: it hangs, or the network"
    )
    assert f"this rank's last collectives are in {record}; " in said
    assert [7] in [size for entry in json.loads(record.read_text())["entries"] for size in entry["input_sizes"]]


UNDER_NCCL = """
import os, sys, threading, time
from pathlib import Path
import torch, torch.distributed as dist
from shards.errors import run_command
from swav_dali.ranks import flight
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.world import World
folder = Path(sys.argv[1])
(folder / "rank-0").write_bytes(b"of an earlier start")
flight.record_collectives(folder, entries=2000)
def main():
    with abort_together(World(rank=0, size=2, local_rank=0, device=torch.device("cuda", 0)), dist.HashStore()):
        time.sleep(1.5)
        if sys.argv[2] == "written":
            with (folder / "rank-0").open("wb") as file:
                for _ in range(8):
                    file.write(b"half")
                    file.flush()
                    time.sleep(0.1)
                print("whole", flush=True)
                file.write(b"whole")
            threading.Event().wait(60)
run_command(main)
"""


@pytest.mark.parametrize("case", ["written", "old"])
def test_the_file_that_torch_writes_under_nccl_ends_the_rank_with_its_path(tmp_path: Path, case: str) -> None:
    command = [sys.executable, "-c", UNDER_NCCL, str(tmp_path), case]
    done = subprocess.run(command, cwd=training.ROOT, capture_output=True, text=True, timeout=90, check=False)
    if case == "old":
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert (done.returncode, done.stdout) == (2, "whole\n")
    assert done.stderr.startswith("error: a collective failed, or a rank did not come to it in time; ")
    assert f"torchfrtrace {tmp_path} -p rank- compares" in done.stderr
    assert f"this rank's last collectives are in {tmp_path / 'rank-0'}; " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_thread_that_looks_for_it_ends_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FR_DUMP_TEMP_FILE", f"{tmp_path}/rank-")
    world = World(rank=0, size=2, local_rank=0, device=torch.device("cuda", 0))
    with abort_together(world, dist.HashStore()):
        pass
    (tmp_path / "rank-0").write_bytes(b"x")
    time.sleep(1.5)  # or this process would end


GIVEN_UP = """
import sys
from datetime import timedelta
from pathlib import Path
import torch, torch.distributed as dist
from shards.errors import run_command
from swav_dali.ranks import flight
from swav_dali.ranks.abort import abort_together
from swav_dali.ranks.world import World
device = torch.device("cuda", 0)
flight.record_collectives(Path(sys.argv[1]) / "flight", entries=2000)
flight.make_room()
torch.cuda.set_device(device)
dist.init_process_group(
    "nccl", store=dist.HashStore(), rank=0, world_size=1, timeout=timedelta(seconds=5), device_id=device
)
def main():
    with abort_together(World(rank=0, size=2, local_rank=0, device=device), dist.HashStore()):
        numbers = torch.ones(7, device=device)
        dist.all_reduce(numbers)
        torch.cuda.synchronize()
        torch.cuda._sleep(120_000_000_000)  # cycles, a minute or so: the next one stays behind it
        dist.all_reduce(numbers)
        torch.cuda.synchronize()
sys.exit(run_command(main))
"""


@pytest.mark.gpu
def test_a_collective_that_nccl_gives_up_leaves_a_record_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GIVEN_UP, str(tmp_path)]
    done = subprocess.run(command, cwd=training.ROOT, capture_output=True, text=True, timeout=180, check=False)
    record = tmp_path / "flight" / "rank-0"
    assert record.stat().st_size > 0
    assert done.returncode == 2, done.stderr[-3000:]
    assert f"this rank's last collectives are in {record}; " in done.stderr
