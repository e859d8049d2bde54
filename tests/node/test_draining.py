"""Draining: what is taken from a socket in one go, and what stays."""

from __future__ import annotations

import pytest
import zmq

from node.draining import DRAIN_MAX, drain, drain_parts
from tests.conditions import eventually
from tests.node.socket_clients import Context

Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]


@pytest.fixture
def pair(context: Context) -> Pair:
    """Who sends, and who is drained: what one has sent is there for the other at once."""
    near, far = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    near.bind("inproc://drained")
    far.connect("inproc://drained")
    return far, near


def taken(near: zmq.Socket[bytes], room: int = 1_000_000) -> tuple[bool, list[bytes]]:
    """Whether that was all, and what it was, when something is there."""
    into: list[bytes] = []
    eventually(lambda: near.poll(0))
    return drain(near, into, room), into


def test_what_is_there_is_taken_in_order_and_that_was_all(pair: Pair) -> None:
    far, near = pair
    for number in range(3):
        far.send(b"%d" % number)
    assert taken(near) == (True, [b"0", b"1", b"2"])


def test_a_message_that_is_alone_is_all_there_is(pair: Pair) -> None:
    far, near = pair
    far.send(b"x")
    assert taken(near) == (True, [b"x"])


def test_of_an_empty_socket_nothing_is_taken_and_nobody_waits(pair: Pair) -> None:
    into: list[bytes] = []
    parts: list[list[bytes]] = []
    assert drain(pair[1], into, 1) is True
    drain_parts(pair[1], parts)
    assert (into, parts) == ([], [])


def test_the_message_that_fills_the_room_is_the_last(pair: Pair) -> None:
    far, near = pair
    for _ in range(3):
        far.send(bytes(10))
    assert taken(near, 11) == (False, [bytes(10)] * 2)
    assert taken(near, 11) == (True, [bytes(10)])


def test_no_more_than_so_many_messages_are_taken(pair: Pair) -> None:
    far, near = pair
    for number in range(DRAIN_MAX + 1):
        far.send(b"%d" % number)
    whole, messages = taken(near)
    assert (whole, len(messages)) == (False, DRAIN_MAX)
    assert taken(near) == (True, [b"%d" % DRAIN_MAX])


def test_messages_of_several_parts_stay_whole(pair: Pair) -> None:
    far, near = pair
    far.send_multipart([b"a", b"b"])
    far.send_multipart([b"c"])
    into: list[list[bytes]] = []
    eventually(lambda: near.poll(0))
    drain_parts(near, into)
    assert into == [[b"a", b"b"], [b"c"]]
