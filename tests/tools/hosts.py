"""Two hosts on one machine: network namespaces with a cable between them, and how a command starts on each."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ADDRESSES = ("10.77.0.1", "10.77.0.2")
NAMES = ("node-a", "node-b")
CABLE = "cable"
RETRIES = 6
"""TCP gives a silent peer up after 25 s here; Linux's own 15 make a quarter of an hour of it, for torchrun's store."""


class Unavailable(Exception):  # noqa: N818
    """This machine has no second host to offer; says why."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names of the two network namespaces."""

    namespaces: tuple[str, str]

    def cut(self) -> None:
        """Take the cable out."""
        _ip("-n", self.namespaces[0], "link", "set", CABLE, "down")

    def join(self) -> None:
        """Plug the cable in."""
        _ip("-n", self.namespaces[0], "link", "set", CABLE, "up")

    def command(self, index: int, words: Sequence[str], table: Path) -> list[str]:
        """`words`, on host `index`, which calls itself by its name and finds the other by `table`, its /etc/hosts."""
        entries = [f"{address} {name}" for address, name in zip(ADDRESSES, NAMES, strict=True)]
        table.write_text("\n".join(["127.0.0.1 localhost", *entries]) + "\n")
        set_up = f'mount --bind "$0" /etc/hosts && hostname {NAMES[index]} && exec "$@"'
        inside = ["unshare", "--mount", "--uts", "sh", "-c", set_up, str(table), *words]
        return ["ip", "netns", "exec", self.namespaces[index], *inside]


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """The hosts, 10.77.0.1 and 10.77.0.2 to each other and to nobody else.

    Raises:
        Unavailable: no root, no iproute2, or a kernel that forbids namespaces.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        raise Unavailable("two hosts on one machine need root, iproute2 and unshare")
    word = secrets.token_hex(3)  # several tests at once
    hosts = Hosts((f"host-{word}-a", f"host-{word}-b"))
    first, second = hosts.namespaces
    try:
        try:
            _ip("netns", "add", first)
            _ip("netns", "add", second)
            _ip("link", "add", CABLE, "netns", first, "type", "veth", "peer", "name", CABLE, "netns", second)
            for namespace, address in zip(hosts.namespaces, ADDRESSES, strict=True):
                _ip("-n", namespace, "address", "add", f"{address}/24", "dev", CABLE)
                _ip("-n", namespace, "link", "set", CABLE, "up")
                _ip("-n", namespace, "link", "set", "lo", "up")
                _check(
                    "ip", "netns", "exec", namespace, "sh", "-c", f"echo {RETRIES} > /proc/sys/net/ipv4/tcp_retries2"
                )
            _check("unshare", "--mount", "--uts", "true")
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"network namespaces: {error.stderr.decode().strip()}") from error
        yield hosts
    finally:
        for namespace in hosts.namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _ip(*words: str) -> None:
    _check("ip", *words)


def _check(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
