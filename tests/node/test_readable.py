"""Which sockets have something, where most have nothing."""

from __future__ import annotations

from collections.abc import Callable
from select import select

import pytest
import zmq

from node.readable import Readable, more
from tests.conditions import eventually
from tests.node.socket_clients import Context

Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]


@pytest.fixture
def pair(context: Context) -> Callable[[], Pair]:
    """A socket and who is at its far end."""

    def make() -> Pair:
        far, near = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        near.connect(f"tcp://127.0.0.1:{far.bind_to_random_port('tcp://127.0.0.1')}")
        return near, far

    return make


def found(readable: Readable[str]) -> list[str]:
    """Wait until something shows."""
    return eventually(lambda: readable.ready() or (_signalled(readable) and readable.take()))


def _signalled(readable: Readable[str]) -> bool:
    return bool(select([readable.descriptor], [], [], 0)[0])


def emptied(socket: zmq.Socket[bytes]) -> list[bytes]:
    taken = []
    while more(socket):
        taken.append(socket.recv(zmq.NOBLOCK))
    return taken


def test_the_one_that_has_something_shows_and_not_again_when_it_was_read(pair: Callable[[], Pair]) -> None:
    readable: Readable[str] = Readable()
    pairs = {key: pair() for key in "abc"}
    for key, (near, _) in pairs.items():
        readable.add(key, near)
    pairs["b"][1].send(b"1")
    taken: list[bytes] = []
    while not taken:
        for key in found(readable):
            got = emptied(pairs[key][0])
            assert not got or key == "b"
            taken += got
    assert (taken, readable.ready()) == ([b"1"], [])
    while _signalled(readable):  # connections tell of themselves, too
        assert [emptied(pairs[key][0]) for key in readable.take()] != [[b"1"]]


def test_what_a_send_has_taken_in_is_found_although_it_is_not_announced_any_more(pair: Callable[[], Pair]) -> None:
    readable: Readable[str] = Readable()
    near, far = pair()
    readable.add("a", near)
    far.send(b"1")
    eventually(lambda: more(near))
    assert (_signalled(readable), readable.ready(), readable.ready()) == (False, ["a"], [])
    readable.touch("a")
    assert readable.ready() == ["a"]
    assert emptied(near) == [b"1"]


def test_who_is_removed_is_looked_after_no_more(pair: Callable[[], Pair]) -> None:
    readable: Readable[str] = Readable()
    near, far = pair()
    readable.add("a", near)
    far.send(b"1")
    eventually(lambda: more(near))
    readable.remove("a")
    assert (readable.ready(), readable.take()) == ([], [])
    near.close()
    other, _ = pair()
    readable.add("a", other)
    readable.close()
