"""Links through a SOCKS5 proxy: that stands, is down, comes back, refuses, hangs, or is none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import enumerate as threads
from typing import Any

import pytest

from node.sockets import Sockets
from tests.conditions import elapsed, eventually
from tests.node.socket_clients import MIB, Heard, turn
from tests.node.socks5 import Socks5

Opener = Callable[..., Sockets]


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port where nothing listens: it is bound, and nobody else gets it."""
    with closing(socket.socket()) as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def reasons(heard: Heard) -> set[str]:
    """Why connections ended, as far as they did."""
    return {reason for _, what, reason in heard.link_events if what == "disconnected"}


def linked(near: Sockets, far: Sockets, address: str) -> tuple[Heard, Heard]:
    """Dial, and have a message go each way."""
    near.dial(address)
    at_near, at_far = Heard(near), Heard(far)
    at_near.until(lambda: (address, "connected", "") in at_near.link_events)
    near.send(turn(links=[(address, b"there")]))
    at_far.until(lambda: at_far.links)
    far.send(turn(links=[(at_far.links[0][0], b"back")]))
    at_near.until(lambda: at_near.links == [(address, b"back")])
    return at_near, at_far


def test_the_proxy_is_asked_for_the_peer_by_its_own_address(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address)
        linked(near, far, far.listen)
        host, _, port = far.listen.removeprefix("tcp://").rpartition(":")
        assert proxy.asked == [(host, int(port))]


def test_a_name_is_looked_up_by_the_proxy(open_sockets: Opener) -> None:
    with Socks5(names={"only-the-proxy-knows-me": "127.0.0.1"}) as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address.replace("127.0.0.1", "localhost"))
        port = int(far.listen.rpartition(":")[2])
        linked(near, far, f"tcp://only-the-proxy-knows-me:{port}")
        assert proxy.asked == [("only-the-proxy-knows-me", port)]


def test_a_node_outlives_its_proxy_and_links_again_when_it_is_back(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address)
        heard, _ = linked(near, far, far.listen)
    down = f"the proxy {proxy.address} does not answer: Connection refused"
    heard.until(lambda: down in reasons(heard))
    heard.link_events.clear()
    with Socks5(proxy.address):
        heard.until(lambda: (far.listen, "connected", "") in heard.link_events)


def test_a_proxy_that_is_down_is_asked_less_and_less_often(open_sockets: Opener, free_port: int) -> None:
    near, address = open_sockets(socks5=f"127.0.0.1:{free_port}"), "tcp://10.0.0.7:7270"
    near.dial(address)
    heard = Heard(near)
    heard.until(lambda: reasons(heard))
    assert reasons(heard) == {f"the proxy 127.0.0.1:{free_port} does not answer: Connection refused"}
    elapsed(2.0)
    assert near._tunnels is not None
    assert near._tunnels._ways[address].tries <= 6


def test_why_a_proxy_makes_no_connection_is_said(open_sockets: Opener, free_port: int) -> None:
    with Socks5() as proxy:
        near = open_sockets(socks5=proxy.address)
        near.dial(f"tcp://127.0.0.1:{free_port}")
        heard = Heard(near)
        heard.until(lambda: reasons(heard))
        assert reasons(heard) == {f"through the proxy {proxy.address}: it cannot reach the peer: connection refused"}


def test_a_proxy_is_told_the_user_and_the_password_it_asks_for(open_sockets: Opener) -> None:
    with Socks5(login=(b"me@lan", b"se:cret")) as proxy:
        far, near = open_sockets(), open_sockets(socks5=f"socks5://me%40lan:se:cret@{proxy.address}")
        linked(near, far, far.listen)
        assert proxy.logins == [(b"me@lan", b"se:cret")]


def test_a_proxy_that_asks_nobody_is_told_no_password(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=f"socks5://me:secret@{proxy.address}")
        linked(near, far, far.listen)
        assert proxy.logins == []


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("", "it asks for a user and a password; write socks5 = socks5://USER:PASSWORD@{}"),
        ("socks5://me:secret@", "it refuses the user and the password"),
    ],
)
def test_a_proxy_that_does_not_let_the_node_in_is_named_without_the_password(
    open_sockets: Opener, login: str, reason: str
) -> None:
    with Socks5(login=(b"you", b"other")) as proxy:
        near = open_sockets(socks5=f"{login}{proxy.address}")
        near.dial("tcp://10.0.0.7:7270")
        heard = Heard(near)
        heard.until(lambda: reasons(heard))
        assert reasons(heard) == {f"through the proxy {proxy.address}: {reason.format(proxy.address)}"}


def test_a_proxy_may_be_at_an_address_of_ipv6(open_sockets: Opener) -> None:
    with Socks5("[::1]:0", login=(b"me", b"secret")) as proxy:
        far, near = open_sockets(), open_sockets(socks5=f"socks5://me:secret@{proxy.address}")
        heard, _ = linked(near, far, far.listen)
    heard.until(lambda: f"the proxy {proxy.address} does not answer: Connection refused" in reasons(heard))


def test_a_proxy_is_found_at_the_last_of_the_addresses_of_its_name(
    open_sockets: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def both(host: str, *how: int, **more: int) -> list[Any]:
        hosts = ("::1", "127.0.0.1") if host == "proxy.lan" else (host,)
        return [row for each in hosts for row in look_up(each, *how, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address.replace("127.0.0.1", "proxy.lan"))
        linked(near, far, far.listen)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS5"), (b"", "closed the connection before")],
)
def test_what_is_no_proxy_is_named(open_sockets: Opener, answer: bytes, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = open_sockets(socks5=f"127.0.0.1:{listener.getsockname()[1]}")
        near.dial("tcp://10.0.0.7:7270")
        client, _ = listener.accept()
        with client:
            client.recv(3, socket.MSG_WAITALL)
            client.sendall(answer)
        heard = Heard(near)
        heard.until(lambda: any(reason in each for each in reasons(heard)))


def test_a_node_stops_at_once_though_its_proxy_hangs(open_sockets: Opener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = open_sockets(socks5=f"127.0.0.1:{listener.getsockname()[1]}")
        near.dial("tcp://10.0.0.7:7270")
        client, _ = listener.accept()
        with client:
            client.settimeout(5)
            assert client.recv(4) == b"\x05\x01\x00"
            near.close(500)
            assert client.recv(1) == b""
        assert "meshbus-tunnels" not in {thread.name for thread in threads()}


def test_what_was_sent_before_a_node_stops_goes_through(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address)
        _, heard = linked(near, far, far.listen)
        words = [b"%d" % number for number in range(200)]
        near.send(turn(links=[(far.listen, word) for word in words]))
        near.close(500)
        heard.until(lambda: len(heard.links) == 201)
        assert [data for _, data in heard.links[1:]] == words


def test_a_peer_that_stalls_behind_a_proxy_costs_the_queue_and_no_more(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address, queue_bytes=MIB)
        heard, _ = linked(near, far, far.listen)
        frame = b"x" * 65_536
        for _ in range(2000):
            near.send(turn(links=[(far.listen, frame)]))
        heard.until(lambda: any(what == "dropped" for _, what, _ in heard.link_events))


def test_an_address_that_is_let_go_of_leaves_nothing_behind(open_sockets: Opener) -> None:
    with Socks5() as proxy:
        far, near = open_sockets(), open_sockets(socks5=proxy.address)
        heard, at_far = linked(near, far, far.listen)
        ways = list(near._dir.glob("via-*"))
        near.send(turn(undials=[far.listen]))
        key = at_far.links[0][0]

        def gone() -> bool:
            far.send(turn(links=[(key, b"x")]))
            at_far.listen()
            return (key, "disconnected", "the connection was closed") in at_far.link_events

        eventually(gone)
        assert (len(ways), list(near._dir.glob("via-*"))) == (1, [])
        heard.link_events.clear()
        near.send(turn(dials=[far.listen]))
        heard.until(lambda: heard.link_events == [(far.listen, "connected", "")])
