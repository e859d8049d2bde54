"""The dealers with real peers: dialled, gone, not there, let go of."""

from __future__ import annotations

import errno
import socket as plain
from collections.abc import Callable

import pytest
import zmq

from mesh.errors import ConfigurationError
from node.members import MEMBERS_MAX
from node.sockets import Sockets
from tests.conditions import eventually
from tests.node.socket_clients import Context, Heard, turn


def test_what_arrived_before_a_dialled_peer_went_is_heard_also_after_it_went(
    context: Context, open_sockets: Callable[..., Sockets]
) -> None:
    near = open_sockets()
    peer = context.socket(zmq.ROUTER)
    port = peer.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    near.dial(address)
    heard = Heard(near)
    heard.until(lambda: heard.link_events == [(address, "connected", "")])
    near.send(turn(links=[(address, b"hello")]))
    key, _ = peer.recv_multipart()
    last_words = [b"%d" % number for number in range(100)]
    for word in last_words:
        peer.send_multipart([key, word])
    peer.close(linger=5000)
    (monitor,) = near._dealers._monitors.values()
    assert monitor.poll(5000), "the end of the connection"
    heard.until(lambda: len(heard.link_events) >= 2)
    heard.listen()
    assert heard.links == [(address, word) for word in last_words]
    assert heard.link_events[1] == (address, "disconnected", "the connection was closed")


def test_why_a_peer_is_not_reached_is_told_once(open_sockets: Callable[..., Sockets]) -> None:
    near = open_sockets()
    with plain.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        nobody, nowhere = f"tcp://127.0.0.1:{kept.getsockname()[1]}", "tcp://no-such-machine.invalid:7270"
        for address in (nobody, nowhere):
            near.dial(address)
        heard = Heard(near)
        told = {(nobody, "unreached", "nobody answers there"), (nowhere, "unreached", "its name is not found")}
        heard.until(lambda: set(heard.link_events) == told)
        heard.listen()
        assert len(heard.link_events) == 2
    again = open_sockets(listen=nobody)
    heard.until(lambda: (nobody, "connected", "") in heard.link_events)
    again.close()
    heard.until(lambda: heard.link_events[-1] == (nobody, "unreached", "nobody answers there"))


def test_an_address_that_cannot_be_dialled_is_one_clear_error(sockets: Sockets) -> None:
    with pytest.raises(ConfigurationError, match="cannot dial tcp://"):
        sockets.dial("tcp://-:1")


def test_an_address_that_is_let_go_of_is_closed_at_both_ends_and_may_be_dialled_again(
    open_sockets: Callable[..., Sockets],
) -> None:
    far, near = open_sockets(), open_sockets()
    address = far.listen
    at_near, at_far = Heard(near), Heard(far)
    near.send(turn(dials=[address]))
    at_near.until(lambda: at_near.link_events == [(address, "connected", "")])
    near.send(turn(links=[(address, b"hello")]))
    at_far.until(lambda: at_far.links)
    ((key, _),) = at_far.links
    near.send(turn(undials=[address], links=[(address, b"last")]))

    def gone() -> bool:
        far.send(turn(links=[(key, b"x")]))
        at_far.listen()
        return (key, "disconnected", "the connection was closed") in at_far.link_events

    eventually(gone)
    near.send(turn(links=[(address, b"nowhere")]))
    near.send(turn(dials=[address]))
    at_near.link_events.clear()
    at_near.until(lambda: at_near.link_events == [(address, "connected", "")])


def test_an_address_heard_of_that_cannot_be_dialled_is_reported_and_harms_nobody(sockets: Sockets) -> None:
    sockets.send(turn(dials=["tcp://-:1"]))
    heard = Heard(sockets)
    heard.listen()
    ((address, what, reason),) = heard.link_events
    assert (address, what) == ("tcp://-:1", "unmade")
    assert "cannot dial tcp://-:1" in reason


def test_where_something_answers_that_is_no_node_nothing_dials_until_it_is_dialled_again(sockets: Sockets) -> None:
    with plain.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(5.0)
        address = f"tcp://127.0.0.1:{stranger.getsockname()[1]}"
        heard = Heard(sockets)
        for times in (1, 2):
            sockets.send(turn(dials=[address]))
            stranger.accept()[0].close()
            heard.until(lambda times=times: len(heard.link_events) == times)
        said = "no node has answered the handshake; is this the port of a node's links?"
        assert heard.link_events == [(address, "unmade", f"cannot dial {address}: {said}")] * 2
        stranger.settimeout(1.0)
        with pytest.raises(TimeoutError):
            stranger.accept()


def test_as_many_peers_may_be_dialled_as_there_are_members(sockets: Sockets) -> None:
    assert sockets._context.get(zmq.MAX_SOCKETS) > 3 * MEMBERS_MAX + 20


def test_where_no_further_socket_can_be_made_that_is_reported_and_harms_nobody(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise zmq.ZMQError(errno.EMFILE)

    for part in ("get_monitor_socket", "__init__"):
        monkeypatch.setattr(zmq.Socket, part, none_left)
        sockets.send(turn(dials=["tcp://127.0.0.1:1"]))
    monkeypatch.undo()
    heard = Heard(sockets)
    heard.listen()
    said = "cannot dial tcp://127.0.0.1:1: Too many open files; raise the limit of open files (ulimit -n)"
    assert heard.link_events == [("tcp://127.0.0.1:1", "unmade", said)] * 2
