"""The simulated sockets for programs: who comes and goes, what a turn takes, and to whom it is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from node.clock import Now
from node.turn import Request, Turn
from tools.simulate.line import LOCAL_US
from tools.simulate.local_ports import DRAIN, LocalPorts
from tools.simulate.world import World


class Program:
    """A line's other end, that writes down what it is told."""

    def __init__(self, name: str) -> None:
        self.client = name.encode()
        self.out = SimpleNamespace(prefixes=(b"A\x00",))
        self.told: list[object] = []
        self.desk: object = None

    def answer(self, there: bool) -> None:
        self.told.append(there)

    def publish(self, parts: list[bytes]) -> None:
        self.told.append(parts)

    def reply(self, parts: list[bytes]) -> None:
        self.told.append(parts)


def opened(*programs: Any) -> tuple[World, list[int], LocalPorts]:
    """A world, the moments at which the node is to take a turn, and ports with these programs."""
    world, woken = World(1), list[int]()
    ports = LocalPorts(world, woken.append)
    for each in programs:
        ports.attach(each)
    return world, woken, ports


def test_who_comes_and_goes_is_known_by_its_filters_and_told_when_the_process_ends() -> None:
    stays, goes = Program("stays"), Program("goes")
    world, woken, ports = opened(stays, goes)
    ports.detach(goes)  # type: ignore[arg-type]
    assert ports.drain() == ([], [b"\x01A\x00", b"\x01A\x00", b"\x00A\x00"], [])
    assert (stays.desk, woken) == (ports, [LOCAL_US] * 3)
    ports.close()
    world.run(world.now_us + LOCAL_US)
    assert (stays.told, goes.told) == ([False], [])


def test_a_turn_takes_so_many_frames_and_the_rest_waits_for_the_next() -> None:
    _, _, ports = opened()
    ports.frames += [b"x"] * (DRAIN + 1)
    assert [len(ports.drain()[0]), ports.more, len(ports.drain()[0]), ports.more] == [DRAIN, True, 1, False]


def test_messages_go_to_every_program_and_a_reply_to_whoever_asked() -> None:
    one, other = Program("one"), Program("other")
    _, _, ports = opened(one, other)
    turn = Turn(Now(0, 0), out=[[b"A\x00 logged"]], passing_out=[[b"A\x00 passing"]])
    turn.replies.append((Request(b"other", {}), [b"yes"]))
    ports.send(turn)
    ports.reply(turn)
    assert one.told == [[b"A\x00 passing"], [b"A\x00 logged"]]
    assert other.told == [[b"A\x00 passing"], [b"A\x00 logged"], [b"yes"]]
