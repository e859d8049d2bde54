from __future__ import annotations

import pytest

from node.addresses import advertised, everywhere, is_loopback, untold, usable
from node.interfaces import Interface


@pytest.mark.parametrize(
    "address",
    ["tcp://10.0.0.7:7270", "tcp://[fd00::7]:7270", "tcp://gpu-17.lan:7270"],
)
def test_an_address_of_a_machine_is_used(address: str) -> None:
    assert usable([address], ()) == (address,)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://0.0.0.0:7270",
        "tcp://[::]:7270",
        "tcp://*:7270",
        "tcp://gpu-17:0",
        "tcp://gpu-17:70000",
        "tcp://[nonsense]:1",
        "ipc://x",
        "",
        7,
        None,
    ],
)
def test_an_address_that_leads_nowhere_is_dropped(address: object) -> None:
    assert usable([address], ()) == ()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:7270", "tcp://[::1]:7270", "tcp://localhost:7270"])
def test_loopback_counts_only_where_this_node_uses_it_itself(address: str) -> None:
    assert is_loopback(address)
    assert usable([address], ["tcp://10.0.0.1:7270"]) == ()
    assert usable([address], ["tcp://127.0.0.2:7270"]) == (address,)
    assert usable([address], [], seeds=["tcp://127.0.0.1:9"]) == (address,)


def test_its_own_address_doubles_and_what_is_beyond_eight_are_dropped() -> None:
    heard = ["tcp://me:1", *(f"tcp://h{number}:1" for number in (1, 1, 2, 3, 4, 5, 6, 7, 8, 9))]
    assert usable(heard, ["tcp://me:1"]) == tuple(f"tcp://h{number}:1" for number in range(1, 9))


@pytest.mark.parametrize(
    ("listen", "advertise", "expected"),
    [
        ("tcp://10.0.0.1:7270", (), ("tcp://10.0.0.1:7270",)),
        ("tcp://0.0.0.0:7270", (), ()),
        ("", (), ()),
        ("tcp://0.0.0.0:7270", ("tcp://a.example:443",), ("tcp://a.example:443",)),
    ],
)
def test_a_node_is_dialled_where_its_operator_says_or_where_it_listens(
    listen: str, advertise: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert advertised(listen, advertise) == expected


HERE = (
    Interface("lo", ("127.0.0.1", "::1")),
    Interface("br0", ("172.17.0.1",), bridge=True),
    Interface("eth1", ("192.168.7.4", "fe80::1")),
    Interface("eth0", ("10.0.0.9", "2001:db8::9"), default=True),
    Interface("wg0", ()),
)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("tcp://0.0.0.0:7270", ["10.0.0.9", "192.168.7.4", "172.17.0.1"]),
        ("tcp://[::]:7270", ["10.0.0.9", "[2001:db8::9]", "192.168.7.4", "172.17.0.1"]),
    ],
)
def test_who_listens_everywhere_is_dialled_at_its_interfaces_the_default_route_first_and_never_at_loopback(
    listen: str, expected: list[str]
) -> None:
    assert advertised(listen, (), HERE) == tuple(f"tcp://{host}:7270" for host in expected)
    assert advertised(listen, ("tcp://a.example:443",), HERE) == ("tcp://a.example:443",)


def test_interfaces_are_asked_only_where_a_node_listens_everywhere() -> None:
    assert [everywhere(listen) for listen in ("tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1", "")] == [
        True,
        True,
        False,
        False,
    ]
    assert advertised("tcp://10.0.0.1:7270", (), HERE) == ("tcp://10.0.0.1:7270",)


def test_a_machine_without_an_address_is_told_what_to_set() -> None:
    only = advertised("tcp://0.0.0.0:7270", (), HERE[:1])
    assert only == ()
    assert 'set advertise = ["tcp://HOST:7270"]' in untold("tcp://0.0.0.0:7270", only)


def test_who_accepts_no_links_or_says_where_needs_no_telling() -> None:
    assert (untold("", ()), untold("tcp://0.0.0.0:7270", ("tcp://10.0.0.1:7270",))) == ("", "")
