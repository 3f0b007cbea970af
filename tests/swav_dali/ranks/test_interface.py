"""gloo's interface: one that is not there, or a name that leads to this machine only, is said before ranks wait."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import torch

from swav_dali.errors import ConfigError
from swav_dali.ranks.interface import check_interface
from swav_dali.ranks.world import World


def world(*, size: int = 4, per_node: int = 2, device: str = "cpu") -> World:
    return World(rank=0, size=size, local_rank=0, device=torch.device(device), ranks_per_node=per_node)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`node-a` with the interfaces lo and eth0, whose name stands for `addresses`."""
    settings: dict[str, Any] = {"addresses": ["127.0.1.1"], "interfaces": ["lo", "eth0"]}

    def look_up(_name: str, _port: None) -> list[Any]:
        if not settings["addresses"]:
            raise socket.gaierror("Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in settings["addresses"]]

    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "node-a")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "if_nameindex", lambda: list(enumerate(settings["interfaces"], 1)))
    return settings


@pytest.mark.parametrize("addresses", [["127.0.1.1"], ["127.0.0.1", "::1"], []])
def test_a_name_that_leads_to_this_machine_only_is_refused(machine: dict[str, Any], addresses: list[str]) -> None:
    machine["addresses"] = addresses
    with pytest.raises(ConfigError, match=r"^node-a: ranks on other machines.*export GLOO_SOCKET_IFNAME=eth0$"):
        check_interface(world())
    machine["interfaces"] = ["lo", "eth0", "ib0"]
    with pytest.raises(ConfigError, match=r"export GLOO_SOCKET_IFNAME=NAME, of eth0, ib0$"):
        check_interface(world())


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["127.0.1.1", "10.0.0.1"], ["fe80::1%eth0"]])
def test_an_address_that_others_can_use_is_enough(machine: dict[str, Any], addresses: list[str]) -> None:
    machine["addresses"] = addresses
    check_interface(world())


@pytest.mark.parametrize("one", [world(per_node=4), world(size=1, per_node=1), world(device="cuda")])
def test_one_machine_and_nccl_need_no_name(machine: dict[str, Any], one: World) -> None:
    check_interface(one)


def test_a_chosen_interface_is_taken_and_one_that_is_not_there_is_refused(
    machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")
    check_interface(world())
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0,eth7")
    with pytest.raises(
        ConfigError, match=r"^GLOO_SOCKET_IFNAME: this machine has no such interface, found eth7,.* eth0$"
    ):
        check_interface(world())
