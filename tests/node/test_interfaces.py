"""What the kernel says of this machine's interfaces."""

from __future__ import annotations

import socket

import psutil

from node.interfaces import interfaces


def test_every_interface_is_there_with_the_addresses_that_the_system_shows() -> None:
    shown = psutil.net_if_addrs()
    found = {each.name: each for each in interfaces()}
    assert set(found) >= set(shown)
    assert "127.0.0.1" in found["lo"].hosts
    for name, rows in shown.items():
        four = [row.address for row in rows if row.family == socket.AF_INET]
        assert [host for host in found[name].hosts if ":" not in host] == four[:1]
