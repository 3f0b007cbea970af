"""The worked example of docs/launching.md on two network namespaces, by torchrun and as by srun; and a cut cable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import training
from hosts import CABLE, Hosts, Unavailable, two_hosts
from same_bits import assert_same_run, last_step
from two_nodes import started

pytestmark = pytest.mark.slow

TIMEOUT = 10.0
SETTINGS = {"data__batch_size": "2", "data__validation": "none", "checkpoint__every_steps": "4", "optim__epochs": "6"}


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        with two_hosts() as both:
            yield both
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def one_node(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two ranks on one machine."""
    runs = tmp_path_factory.mktemp("one-node")
    done = training.run(training.command(tiny_data, runs, "run", ranks=2, **SETTINGS), timeout=600)
    assert done.returncode == 0, done.stderr
    return runs / "run"


def words(data: Path, runs: Path, **changes: str) -> list[str]:
    return training.command(data, runs, "run", **SETTINGS, **changes)[2:]


@pytest.mark.parametrize(("srun", "interface"), [(False, None), (True, CABLE)])
def test_two_nodes_have_the_bits_of_one(
    hosts: Hosts, one_node: Path, tiny_data: Path, tmp_path: Path, srun: bool, interface: str | None
) -> None:
    chosen = {} if interface is None else {"GLOO_SOCKET_IFNAME": interface}
    with started(hosts, words(tiny_data, tmp_path), tmp_path / "logs", srun=srun, **chosen) as nodes:
        assert nodes.codes(900) == [0, 0], nodes.said(0) + nodes.said(1)
    assert_same_run(tmp_path / "run", one_node)


def test_an_interface_that_is_not_there_is_one_line_on_both(hosts: Hosts, tiny_data: Path, tmp_path: Path) -> None:
    arguments = words(tiny_data, tmp_path)
    with started(hosts, arguments, tmp_path / "logs", srun=True, GLOO_SOCKET_IFNAME="eth7") as nodes:
        assert nodes.codes() == [2, 2]
        for index in range(2):
            line = f"error: GLOO_SOCKET_IFNAME: this machine has no such interface, found eth7, expected {CABLE}"
            assert line in nodes.said(index).splitlines()


@pytest.mark.parametrize("srun", [False, True])
def test_a_cut_cable_ends_both_nodes_with_its_reason_and_a_start_goes_on(
    hosts: Hosts, one_node: Path, tiny_data: Path, tmp_path: Path, srun: bool
) -> None:
    arguments = words(tiny_data, tmp_path, ranks__timeout_seconds=str(TIMEOUT))
    with started(hosts, arguments, tmp_path / "first", srun=srun) as nodes:
        nodes.wait_for(lambda: last_step(tmp_path / "run") >= 5)
        hosts.cut()
        assert nodes.codes(TIMEOUT + 240) == ([2, 2] if srun else [1, 1])  # 19 and 29 s on a quiet machine
        for index in range(2):
            assert "error: the connection to another rank is lost, found no answer" in nodes.said(index)
    hosts.join()
    assert (tmp_path / "run" / "flight" / "rank-0.json").exists()
    with started(hosts, arguments, tmp_path / "second", srun=srun) as nodes:
        assert nodes.codes(900) == [0, 0], nodes.said(0) + nodes.said(1)
        assert "resumed" in nodes.said(0)
    assert_same_run(tmp_path / "run", one_node)
