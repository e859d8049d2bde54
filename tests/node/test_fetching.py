"""What a neighbour asks for and was never here: asked for where it comes from, and passed through."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import REPLAYED, decode
from node.fetching import KEEP_S
from node.turn import Turn
from tests.node.workbench import Author, Bench, control, forwarded, interest, sent, values

FAR = "l.1"
LEAF, PEER, OTHER = "tcp://l:7270", "tcp://p:7270", "tcp://q:7270"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A peer linked with the leaf `l` and the peers `p` and `q`; of `l`'s topic A it has the fourth event alone."""
    bench = Bench(tmp_path)
    for name, role in (("l", "leaf"), ("p", "peer"), ("q", "peer")):
        link(bench, name, role)
    author = Author("l")
    bench.turn(links=[(LEAF, forwarded(author.at(4, "A", 4), FAR, 4))])
    return bench


def link(bench: Bench, name: str, role: str) -> None:
    address = f"tcp://{name}:7270"
    bench.links.dial([address])
    hello = {"t": "hello", "answer": True, "protocol": 1, "name": name, "origin": f"{name}.1", "role": role}
    bench.turn(link_events=[(address, "connected", "")])
    wants = [] if role == "leaf" else ["A"]
    bench.turn(links=[(address, control({**hello, "version": "1.0"})), (address, control(interest(name, *wants)))])
    ack = {"t": "interest_ack", "version": bench.announced[address], "origins": [f"{name}.1"], "heads": []}
    bench.turn(links=[(address, control(ack))])


def want(bench: Bench, link: str, first: int, last: int, origin: str = FAR) -> Turn:
    return bench.turn(links=[(link, control({"t": "want", "id": 7, "ranges": [[origin, "A", first, last]]}))])


def asked(turn: Turn, link: str) -> list[object]:
    return [(each["id"], each["ranges"]) for each in sent(turn, link) if each["t"] == "want"]


def again(bench: Bench, link: str, first: int, *payloads: int, later_s: float = 0.001) -> dict[str, list[object]]:
    """Frames that are given again by a link: what goes out, by link."""
    frame = Author("l").at(first, "A", *payloads)._replace(flags=REPLAYED)
    turn = bench.turn(links=[(link, forwarded(frame, FAR, first))], later_s=later_s)
    found: dict[str, list[object]] = {}
    for key, data in turn.links:
        if data[:1] != b"\x00":
            found.setdefault(str(key), []).extend(values(decode(data)))
    return found


def test_what_is_before_this_nodes_part_of_a_stream_is_fetched_and_passed_to_who_asked(bench: Bench) -> None:
    assert asked(want(bench, PEER, 2, 4), LEAF) == [(-1, [[FAR, "A", 2, 3]])]
    assert again(bench, LEAF, 2, 2, 3) == {PEER: [2, 3]}
    stream = bench.state.relay.streams[FAR, "A"]
    assert (stream.base, stream.head) == (3, 4)


def test_of_a_stream_that_is_unknown_here_all_is_fetched(bench: Bench) -> None:
    turn = bench.turn(links=[(PEER, control({"t": "want", "id": 7, "ranges": [[FAR, "B", 1, 2]]}))])
    assert asked(turn, LEAF) == [(-1, [[FAR, "B", 1, 2]])]


def test_each_is_given_what_it_asked_for_and_nothing_that_was_not(bench: Bench) -> None:
    want(bench, PEER, 1, 1)
    want(bench, OTHER, 2, 3)
    assert again(bench, LEAF, 1, 1) == {PEER: [1]}
    assert again(bench, LEAF, 3, 3) == {OTHER: [3]}
    assert again(bench, OTHER, 1, 1) == {}


def test_what_comes_too_late_is_not_passed_on(bench: Bench) -> None:
    want(bench, PEER, 2, 3)
    assert again(bench, LEAF, 2, 2, later_s=KEEP_S) == {PEER: [2]}
    assert again(bench, LEAF, 3, 3) == {}


def test_what_is_here_or_not_yet_here_or_of_a_peer_is_not_fetched(bench: Bench) -> None:
    assert asked(want(bench, PEER, 4, 9), LEAF) == []
    assert asked(want(bench, PEER, 1, 2, "q.1"), OTHER) == []
    assert asked(want(bench, LEAF, 1, 2), LEAF) == []


def test_a_link_that_moves_takes_its_questions_along(bench: Bench) -> None:
    want(bench, PEER, 2, 3)
    fetching = bench.node._neighbours._fetching
    fetching.moved(PEER, "p2")
    fetching.moved(LEAF, "l2")
    frame = Author("l").at(2, "A", 2)._replace(origin=FAR, sequence=2)
    assert (fetching.askers("l2", frame), fetching.askers(LEAF, frame)) == (["p2"], [])
    fetching.forget("l2")
    assert fetching.askers("l2", frame) == []
