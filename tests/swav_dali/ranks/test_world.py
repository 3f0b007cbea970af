"""Who am I: torchrun, srun, alone, half-set environments, and the process group's life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist

from swav_dali.errors import ConfigError
from swav_dali.ranks.group import barrier, process_group, sum_over_ranks
from swav_dali.ranks.world import World

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "9",
    "SLURM_NTASKS": "16",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
    "SLURM_STEP_NODELIST": "gpu[007-008]",
    "SLURM_JOB_ID": "123456",
}


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in [*TORCHRUN, *SLURM]:
        monkeypatch.delenv(name, raising=False)

    def set_all(*sets: dict[str, str], without: str | None = None, **more: str) -> None:
        for name, value in {key: value for each in (*sets, more) for key, value in each.items()}.items():
            if name != without:
                monkeypatch.setenv(name, value)

    return set_all


def fake_cuda(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


def test_without_a_launcher_there_is_one_process(set_env: Callable[..., None]) -> None:
    assert World.detect("cpu") == World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))


def test_torchruns_variables_come_first(set_env: Callable[..., None]) -> None:
    set_env(SLURM, TORCHRUN)
    world = World.detect("cpu")
    assert (world.rank, world.size, world.local_rank, world.ranks_per_node) == (5, 8, 1, 4)
    assert world.rendezvous == "env://"
    assert not world.is_main


@pytest.mark.parametrize(
    ("nodes", "host"),
    [("gpu[007-008]", "gpu007"), ("gpu[3,7-9]-ib", "gpu3-ib"), ("node1", "node1"), ("a-b1,c[1-2]", "a-b1")],
)
def test_sruns_tasks_meet_on_the_first_host(set_env: Callable[..., None], nodes: str, host: str) -> None:
    set_env(SLURM, SLURM_STEP_NODELIST=nodes)
    world = World.detect("cpu")
    assert (world.rank, world.size, world.local_rank, world.ranks_per_node) == (9, 16, 1, 8)
    assert world.rendezvous == f"tcp://{host}:{10_000 + 123456 % 20_000}"


def test_a_given_address_wins_over_the_node_list(set_env: Callable[..., None]) -> None:
    set_env(SLURM, MASTER_ADDR="login", MASTER_PORT="1234")
    assert World.detect("cpu").rendezvous == "env://"


def test_a_batch_script_without_srun_is_one_process(set_env: Callable[..., None]) -> None:
    set_env(SLURM, without="SLURM_STEP_ID")
    assert World.detect("cpu").size == 1


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_of_torchruns_variables_is_an_error(set_env: Callable[..., None], missing: str) -> None:
    set_env(TORCHRUN, without=missing)
    with pytest.raises(ConfigError, match=f"^{missing}: the launch environment is half set.*start with torchrun"):
        World.detect("cpu")


@pytest.mark.parametrize("missing", ["SLURM_NTASKS", "SLURM_LOCALID"])
def test_half_of_sruns_variables_is_an_error(set_env: Callable[..., None], missing: str) -> None:
    set_env(SLURM, without=missing)
    with pytest.raises(ConfigError, match=f"^{missing}: the launch environment is half set.*start with srun"):
        World.detect("cpu")


def test_srun_without_any_address_is_an_error(set_env: Callable[..., None]) -> None:
    set_env(SLURM, without="SLURM_STEP_NODELIST")
    with pytest.raises(ConfigError, match="MASTER_ADDR, MASTER_PORT: no address"):
        World.detect("cpu")


def test_a_rank_that_is_no_number_is_an_error(set_env: Callable[..., None]) -> None:
    set_env(TORCHRUN, RANK="first")
    with pytest.raises(ConfigError, match="RANK: not a number, found 'first'"):
        World.detect("cpu")


def test_a_rank_takes_the_device_of_its_local_number(
    set_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_env(TORCHRUN)
    fake_cuda(monkeypatch, 2)
    assert World.detect("auto").device == torch.device("cuda", 1)
    assert World.detect("cpu").device == torch.device("cpu")


def test_auto_is_the_cpu_where_there_is_no_cuda(set_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch, 0)
    assert World.detect().device == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"--device: torch sees no CUDA device.*--device cpu"):
        World.detect("cuda")


def test_more_ranks_than_devices_is_an_error(set_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    set_env(TORCHRUN)
    fake_cuda(monkeypatch, 1)
    with pytest.raises(ConfigError, match=r"local rank 1: more ranks than CUDA devices .* found 1 visible"):
        World.detect()


def test_one_rank_has_no_group_and_sums_to_itself() -> None:
    tensor = torch.arange(3.0)
    with process_group(World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))):
        assert not dist.is_initialized()
        barrier()
        assert sum_over_ranks(tensor) is tensor
    assert tensor.tolist() == [0, 1, 2]


def sums_and_backend(world: World) -> tuple[str, list[float]]:
    barrier()
    return dist.get_backend(), sum_over_ranks(torch.tensor([1.0, float(world.rank)])).tolist()


def test_ranks_sum_in_place_over_gloo_on_cpus(run_ranks: Callable[..., list[Any]]) -> None:
    assert run_ranks(sums_and_backend, 3) == [("gloo", [3.0, 3.0])] * 3


def fail_on_rank_one(world: World) -> None:
    if world.rank == 1:
        raise ValueError("rank one says no")
    barrier()


def test_a_failing_rank_ends_the_others_instead_of_leaving_them_waiting(run_ranks: Callable[..., list[Any]]) -> None:
    with pytest.raises(AssertionError, match=r"(?s)rank 0:.*gloo.*rank 1:.*rank one says no"):
        run_ranks(fail_on_rank_one, 2)


def test_the_group_is_destroyed_after_an_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    destroyed = []
    monkeypatch.setattr("swav_dali.ranks.group.meet", lambda *args, **kwargs: dist.HashStore())
    monkeypatch.setattr(dist, "init_process_group", lambda *args, **kwargs: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: destroyed.append(True))
    world = World(rank=0, size=2, local_rank=0, device=torch.device("cpu"))
    with pytest.raises(RuntimeError, match="inside"), process_group(world):
        raise RuntimeError("inside")
    assert destroyed == [True]
