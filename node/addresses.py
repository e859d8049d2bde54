"""Addresses of members: which of those that are heard may be dialled from here. Pure functions on text.

    tcp://10.0.0.7:7270   tcp://[fd00::7]:7270   tcp://gpu-17.lan:7270      may be dialled
    tcp://0.0.0.0:7270    tcp://*:7270           tcp://gpu-17:0             say nothing: wildcards, no port
                                                                            (told as the machine's own addresses)
    tcp://127.0.0.1:7270  from a member on another machine                  is this machine, not that one

Nobody can tell from a name or a number alone whether it leads to another machine. Loopback is believed where this
node uses loopback addresses for itself or for its seeds: then the cluster, or a part of it, lives on one machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from node.interfaces import Interface
from node.link import ADDRESSES_MAX

_ADDRESS = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]{1,253}):(\d{1,5})")
_TEXT_MAX = 300
"""No address is longer, and nothing longer is remembered."""
_ADDRESSES_KNOWN = 8192
"""Addresses of which is remembered what they are: every row that is told of a member brings the same ones again."""


def usable(addresses: Iterable[object], own: Iterable[str], seeds: Iterable[str] = ()) -> tuple[str, ...]:
    """Those of a member's addresses that may be dialled, in its order and without doubles; at most eight.

    `own` are the addresses where this node is reached itself.
    """
    mine = set(own)
    at_home = any(is_loopback(each) for each in (*mine, *seeds))
    found = dict.fromkeys(
        each for each in addresses if isinstance(each, str) and len(each) <= _TEXT_MAX and names_a_place(each)
    )
    chosen = [each for each in found if each not in mine and (at_home or not is_loopback(each))]
    return tuple(chosen[:ADDRESSES_MAX])


def advertised(listen: str, advertise: Iterable[str], here: Iterable[Interface] = ()) -> tuple[str, ...]:
    """Where others may dial this node, the best first: what the operator says, else where it listens.

    Where that is everywhere, the addresses of the machine's interfaces `here`: those on the default route first,
    bridges last; loopback leads to whoever dials it, and is told to nobody.
    """
    said = tuple(advertise)
    if said or names_a_place(listen):
        return said or (listen,)
    families = {"tcp://0.0.0.0": (4,), "tcp://[::]": (4, 6)}.get(listen.rpartition(":")[0], ())
    in_order = sorted(here, key=lambda each: (each.bridge, not each.default))
    hosts = [ip_address(host) for each in in_order for host in each.hosts]
    port = listen.rpartition(":")[2]
    found = [host for host in hosts if host.version in families and not (host.is_loopback or host.is_link_local)]
    texts = [f"[{host}]" if host.version == 6 else str(host) for host in found]
    return tuple(dict.fromkeys(f"tcp://{text}:{port}" for text in texts))[:ADDRESSES_MAX]


def everywhere(listen: str) -> bool:
    """Whether a node listens at all addresses of its machine."""
    return bool(listen) and not names_a_place(listen)


def untold(listen: str, addresses: Iterable[str]) -> str:
    """What an operator is to be told when a node accepts links and tells others no address for it, or ""."""
    if not listen or tuple(addresses):
        return ""
    port = listen.rpartition(":")[2]
    return (
        f"listening at {listen}, on a machine that shows no address but loopback: only who was told one dials it; "
        f'set advertise = ["tcp://HOST:{port}"]'
    )


@lru_cache(maxsize=_ADDRESSES_KNOWN)
def is_loopback(address: str) -> bool:
    """Whether an address is this machine, seen from this machine."""
    host = _host(address)
    if host is None or host == "localhost":
        return host == "localhost"
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=_ADDRESSES_KNOWN)
def names_a_place(address: str) -> bool:
    """Whether an address is one host and one port, so that it can be dialled."""
    host, found = _host(address), _ADDRESS.fullmatch(address)
    if host is None or found is None or not 0 < int(found[2]) < 65536:
        return False
    try:
        return not ip_address(host).is_unspecified
    except ValueError:
        return not address.startswith("tcp://[")


def _host(address: str) -> str | None:
    found = _ADDRESS.fullmatch(address)
    return found[1].strip("[]") if found else None
