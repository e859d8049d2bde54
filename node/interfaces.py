"""Interfaces: the addresses of this machine, as the kernel lists them, for a node that listens at all of them. Linux.

    /proc/net/route       which interface has the default route     the way to others: its addresses come first
    ioctl SIOCGIFADDR     the IPv4 address of an interface          /proc/net/if_inet6: its IPv6 addresses
    /sys/class/net/X      bridge: made for containers of this machine, reached from others at most by chance: last

What the kernel does not say is left out: a node that knows no address of its own says so at its start.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_SIOCGIFADDR = 0x8915
_NAME_BYTES = 16
_GLOBAL_SCOPE = "00"


class Interface(NamedTuple):
    """One interface: its addresses, whether the default route leads over it, whether it is a bridge."""

    name: str
    hosts: tuple[str, ...]
    default: bool = False
    bridge: bool = False


def interfaces() -> list[Interface]:
    """What this machine has at this moment."""
    default, six = _default_routes(), _ipv6_hosts()
    return [
        Interface(
            name,
            (*_ipv4_host(name), *six.get(name, ())),
            name in default,
            Path(f"/sys/class/net/{name}/bridge").exists(),
        )
        for _, name in socket.if_nameindex()
    ]


def _ipv4_host(name: str) -> tuple[str, ...]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFADDR, name.encode()[: _NAME_BYTES - 1].ljust(40, b"\0"))
        except OSError:  # it has none
            return ()
    return (socket.inet_ntoa(struct.unpack_from("4s", answer, _NAME_BYTES + 4)[0]),)


def _ipv6_hosts() -> dict[str, tuple[str, ...]]:
    """Addresses that mean something beyond their interface, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for line in _lines("/proc/net/if_inet6"):
        digits, _, _, scope, _, name = line.split()
        if scope == _GLOBAL_SCOPE:
            found[name] = (*found.get(name, ()), str(ipaddress.IPv6Address(bytes.fromhex(digits))))
    return found


def _default_routes() -> set[str]:
    rows = [line.split() for line in _lines("/proc/net/route")[1:]]
    return {name for name, destination, *_ in rows if int(destination, 16) == 0}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
