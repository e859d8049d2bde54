"""The paced selector keeps the contract of a selector, a few connections at a time."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Iterator

import pytest

from node.pace import READY_MAX, PacedSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def selector() -> Iterator[PacedSelector]:
    made = PacedSelector()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_what_is_ready_is_told_with_what_was_asked_for(
    selector: PacedSelector, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    key = selector.register(one, READ, "data")
    assert (key.fileobj, key.fd, key.events, key.data) == (one, one.fileno(), READ, "data")
    assert selector.select(0) == []
    other.send(b"x")
    assert selector.select(1) == [(key, READ)]
    both = selector.modify(one, READ | WRITE, "more")
    assert selector.select(1) == [(both, READ | WRITE)]
    assert selector.unregister(one) == both
    assert selector.select(0) == []
    assert dict(selector.get_map()) == {}


def test_a_far_end_that_hung_up_is_ready_to_be_read(
    selector: PacedSelector, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    key = selector.register(one, READ)
    other.close()
    assert selector.select(1) == [(key, READ)]


def test_a_file_is_watched_once(selector: PacedSelector, pair: tuple[socket.socket, socket.socket]) -> None:
    selector.register(pair[0], READ)
    with pytest.raises(KeyError):
        selector.register(pair[0], READ)
    with pytest.raises(KeyError):
        selector.unregister(pair[1])


def test_of_many_a_few_are_served_at_a_time_and_none_is_left_out(selector: PacedSelector) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    for one, other in pairs:
        selector.register(one, READ)
        other.send(b"x")
    served: set[int] = set()
    for _ in range(20):
        ready = selector.select(1)
        assert 0 < len(ready) <= READY_MAX
        served |= {key.fd for key, _ in ready}  # and nothing is read: all of them stay ready
    assert served == {one.fileno() for one, _ in pairs}
    for each in pairs:
        for end in each:
            end.close()


def test_a_loop_runs_on_it() -> None:
    async def scenario() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        server.close()
        return line

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(PacedSelector())) as runner:
        assert runner.run(scenario()) == b"hello\n"
