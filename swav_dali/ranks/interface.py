"""Whether gloo, which the ranks talk through on CPUs, will be heard by other machines.

It listens at the address that this machine's name stands for. Many systems enter 127.0.1.1 there: the ranks of one
machine still meet, those of two wait for each other until the timeout. NCCL looks for its interface by itself.
"""

from __future__ import annotations

import ipaddress
import os
import socket

from swav_dali.errors import ConfigError
from swav_dali.ranks.world import World

_CHOSEN = "GLOO_SOCKET_IFNAME"


def check_interface(world: World) -> None:
    """Raise ConfigError for an interface that is not there, or for a name that no other machine can use."""
    if world.device.type == "cuda" or world.size == 1:
        return
    there = [name for _, name in socket.if_nameindex()]
    if _CHOSEN in os.environ:
        missing = [name for name in os.environ[_CHOSEN].split(",") if name not in there]
        if missing:
            raise ConfigError(
                "this machine has no such interface",
                where=_CHOSEN,
                found=", ".join(missing),
                expected=" or ".join(name for name in there if name != "lo"),
            )
    elif world.size > world.ranks_per_node and not _addresses(socket.gethostname()):
        others = [name for name in there if name != "lo"]
        raise ConfigError(
            "ranks on other machines cannot reach this one by its name",
            where=socket.gethostname(),
            found="no address but the loopback's",
            fix=f"export {_CHOSEN}={others[0] if len(others) == 1 else 'NAME, of ' + ', '.join(others)}",
        )


def _addresses(name: str) -> list[str]:
    """Addresses of a host's name that lead to other machines."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(name, None)}
    except OSError:  # the name is unknown
        return []
    return sorted(address for address in found if not ipaddress.ip_address(address).is_loopback)
