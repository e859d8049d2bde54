"""The links' sockets with real peers: both ways, full, gone, garbage."""

from __future__ import annotations

import socket as plain
from collections.abc import Callable
from contextlib import suppress

import pytest
import zmq

from node.sockets import Sockets
from node.turn import CONTROL
from tests.conditions import DEADLINE_S, eventually
from tests.node.socket_clients import MIB, Context, Heard, stalled, turn


def test_a_link_carries_both_ways_and_tells_when_it_stands_and_falls(open_sockets: Callable[..., Sockets]) -> None:
    far, near = open_sockets(), open_sockets()
    address = far.listen
    near.dial(address)
    at_near, at_far = Heard(near), Heard(far)
    at_near.until(lambda: at_near.link_events == [(address, "connected", "")])
    near.send(turn(links=[(address, b"to far")], passing_links=[(address, b"first")]))
    at_far.until(lambda: len(at_far.links) == 2)
    key = at_far.links[0][0]
    assert at_far.links == [(key, b"first"), (key, b"to far")]
    far.send(turn(links=[(key, b"back")]))
    at_near.until(lambda: at_near.links == [(address, b"back")])
    far.close()
    at_near.until(lambda: (address, "disconnected", "the connection was closed") in at_near.link_events)
    at_near.link_events.clear()
    again = open_sockets(listen=address)
    at_near.until(lambda: (address, "connected", "") in at_near.link_events)
    assert again.listen == address


def test_that_a_connection_is_gone_is_told_when_all_that_came_over_it_has_been_read(
    open_sockets: Callable[..., Sockets],
) -> None:
    far, near = open_sockets(), open_sockets()
    near.dial(far.listen)
    at_near, at_far = Heard(near), Heard(far)
    at_near.until(lambda: bool(at_near.link_events))
    near.send(turn(links=[(far.listen, b"hello")]))
    at_far.until(lambda: bool(at_far.links))
    address, count = far.listen, 900
    far.send(turn(links=[(at_far.links[0][0], b"%03d" % number) for number in range(count)]))
    far.close(2000)
    ended = zmq.Poller()
    ended.register(near._watched.descriptor, zmq.POLLIN)
    assert ended.poll(1000 * DEADLINE_S)  # all of it is here before the first look
    came: list[bytes] = []
    while True:
        inbox = near.wait(1000)
        came += [data for _, data in inbox.links if data[:1] != CONTROL]
        if (address, "disconnected", "the connection was closed") in inbox.link_events:
            break
    assert came == [b"%03d" % number for number in range(count)]


def test_sending_to_a_connection_that_is_gone_reports_it(sockets: Sockets) -> None:
    sockets.send(turn(links=[(b"nobody", b"x"), (b"nobody", b"y")]))
    heard = Heard(sockets)
    heard.listen()
    assert set(heard.link_events) == {(b"nobody", "disconnected", "the connection was closed")}


def next_frame(peer: zmq.Socket[bytes]) -> bytes:
    """The next message of a peer that is no mark."""
    while (data := peer.recv())[:1] == CONTROL:
        pass
    return data


def test_a_stalled_peer_costs_a_bounded_queue_and_counted_drops_and_nobody_else(
    context: Context, open_sockets: Callable[..., Sockets]
) -> None:
    sockets = open_sockets(queue_bytes=10_000)
    (slow, slow_key), (quick, quick_key) = stalled(context, sockets), stalled(context, sockets)
    sent, heard = 0, Heard(sockets)
    while not any(what == "dropped" for _, what, _ in heard.link_events):
        sockets.send(turn(links=[(slow_key, b"%07d" % sent + bytes(993))]))
        sent += 1
        heard.listen() if sent % 500 == 0 else None
        assert sent < 200_000
    heard.listen()
    dropped = sum(int(detail) for key, what, detail in heard.link_events if what == "dropped" and key == slow_key)
    assert sockets.blocked == [slow_key]
    sockets.send(turn(links=[(quick_key, b"still here")]))
    assert next_frame(quick) == b"still here"
    received = []
    while len(received) < sent - dropped:
        received.append(int(next_frame(slow)[:7]))
        heard.listen() if len(received) % 100 == 0 or sockets.blocked else None
    assert received == sorted(received)
    assert len(set(received)) == sent - dropped
    eventually(lambda: heard.listen() or not sockets.blocked)


def test_what_waits_for_a_link_that_is_forgotten_is_counted_as_dropped(
    context: Context, open_sockets: Callable[..., Sockets]
) -> None:
    sockets = open_sockets(queue_bytes=MIB)
    _, key = stalled(context, sockets)
    while not sockets.blocked:
        sockets.send(turn(links=[(key, bytes(10_000))]))
    sockets.send(turn(links=[(key, b"x")] * 3))
    sockets.forget(key)
    heard = Heard(sockets)
    heard.listen()
    assert heard.link_events == [(key, "dropped", "5")]  # with the mark behind the first frame; zeros are talk


def caller(sockets: Sockets) -> plain.socket:
    """A plain TCP client on the listening port."""
    host, _, port = sockets.listen.removeprefix("tcp://").rpartition(":")
    return plain.create_connection((host, int(port)), timeout=5)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" + bytes(8) + b"\x7f" + b"\x03garbage" * 40,
        b"\xff" * 100,
        bytes(100),
        b"\x01\x00" + b"z" * 1000,
        b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n",
    ],
    ids=["a greeting and nonsense", "ones", "zeros", "a former greeting", "a web client"],
)
def test_garbage_on_the_listening_port_is_counted_as_a_stranger_once(sockets: Sockets, garbage: bytes) -> None:
    heard = Heard(sockets)
    for count in (1, 2):
        with caller(sockets) as client:
            client.sendall(garbage)
            with suppress(OSError):  # the node may have hung up already
                client.shutdown(plain.SHUT_WR)
            heard.until(lambda count=count: len(heard.link_events) >= count)
    with caller(sockets):
        pass
    heard.until(lambda: len(heard.link_events) >= 3)
    assert [(key, what) for key, what, _ in heard.link_events] == [(b"", "stranger")] * 3


def test_a_web_client_on_the_listening_port_harms_no_peer(context: Context, sockets: Sockets) -> None:
    peer, key = stalled(context, sockets)
    with caller(sockets) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n" + bytes(range(256)) * 4)
        peer.send(b"from the peer")
        heard = Heard(sockets)
        heard.until(lambda: (key, b"from the peer") in heard.links)


def test_a_message_of_several_parts_is_not_taken_for_several_messages(context: Context, sockets: Sockets) -> None:
    peer, _ = stalled(context, sockets)
    peer.send_multipart([b"a", b"b"])
    heard = Heard(sockets)
    heard.until(lambda: heard.links)
    assert len(heard.links) == 1


def both_ways(near: Sockets, far: Sockets, address: str) -> None:
    """Dial, and have a message go each way."""
    near.dial(address)
    at_near, at_far = Heard(near), Heard(far)
    at_near.until(lambda: at_near.link_events == [(address, "connected", "")])
    near.send(turn(links=[(address, b"there")]))
    at_far.until(lambda: at_far.links)
    ((key, data),) = at_far.links
    far.send(turn(links=[(key, b"back")]))
    at_near.until(lambda: at_near.links == [(address, b"back")])
    assert data == b"there"


def test_a_link_goes_over_ipv6(open_sockets: Callable[..., Sockets]) -> None:
    far, near = open_sockets(listen="tcp://[::1]:0"), open_sockets()
    assert far.listen.startswith("tcp://[::1]:")
    both_ways(near, far, far.listen)
