"""What a neighbour that is to bring streams is told of where this node stands. (Where they begin: test_wanting.)"""

from __future__ import annotations

from pathlib import Path

from mesh.topic import PatternSet
from node.beginnings import SPOKEN_MAX, Beginnings
from tests.node.workbench import Bench, Program, control

NOTHING, A = PatternSet(()), PatternSet(["A"])


def follower(path: Path) -> tuple[Bench, Beginnings]:
    """Node `a`, whose durable consumer of A has followed b.1, and far.1 that came to b by a detour, up to 7 each."""
    bench = Bench(path)
    link, program = bench.peer("b"), Program(bench, "1")
    program.attach()
    sub, request = program.subscribing("c", "A", durable=True)
    bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    heads = [("b.1", "A", 7), ("far.1", "A", 7)]
    said = {"version": bench.announced[link], "origins": ["b.1", "far.1"], "detoured": ["far.1"], "heads": heads}
    bench.turn(links=[(link, control({"t": "interest_ack", **said}))])
    bench.turn(link_events=[(link, "disconnected", "")])
    return bench, bench.node._neighbours._beginnings


def test_who_is_asked_to_carry_is_told_where_this_node_stands_in_what_it_will_bring(tmp_path: Path) -> None:
    bench, beginnings = follower(tmp_path)
    carrier = bench.peer("c")
    beginnings.heard("c", ["c.1"], [])
    assert beginnings.stands(carrier, A, A, {"b"}, beginnings.far()) == [("b.1", "A", 7)]
    assert beginnings.stands(carrier, A, A, set(), beginnings.far()) == []


def test_who_brings_an_origin_is_told_where_this_node_stands_when_it_hears_of_the_wish(tmp_path: Path) -> None:
    bench, beginnings = follower(tmp_path)
    carrier = bench.peer("c")
    beginnings.heard("c", ["c.1", "far.1"], ["far.1"])
    assert beginnings.stands(carrier, NOTHING, A, set(), beginnings.far()) == [("far.1", "A", 7)]
    assert beginnings.stands(carrier, NOTHING, PatternSet(["B"]), set(), beginnings.far()) == []
    back = bench.peer("b")
    assert beginnings.stands(back, NOTHING, A, set(), beginnings.far()) == [("far.1", "A", 7)]


def test_of_very_many_neighbours_it_is_forgotten_for_whom_they_spoke_and_last_of_who_is_linked(tmp_path: Path) -> None:
    bench, beginnings = follower(tmp_path)
    bench.peer("b")
    for number in range(SPOKEN_MAX + 2):
        beginnings.heard(f"n{number}", [f"n{number}.1"], [])
    kept = [f"n{number}" for number in range(3, SPOKEN_MAX + 2)]
    assert list(beginnings._spoken) == ["b", *kept]
