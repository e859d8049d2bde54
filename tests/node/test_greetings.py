"""Who greets whom, who is let in and who is not, over a wire in memory, under virtual time."""

from __future__ import annotations

import pytest

from tests.node.wire import LinksAlone, Wire, check_agreed, only_link, pair
from tests.node.workbench import control, sent


def test_a_dialled_link_comes_up_on_both_sides_with_name_and_origin() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    assert only_link(a) == ("up", "b", "b.1")
    assert only_link(b) == ("up", "a", "a.1")
    check_agreed(wire, a, b)


def test_nothing_is_used_before_both_have_greeted() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    assert (a.links.up(), only_link(a)[0]) == (set(), "greeting")
    wire.deliver(connection, to_acceptor=True)
    assert (a.links.up(), b.links.up()) == (set(), {connection.routing_id})


def test_an_unanswered_greeting_is_sent_again_after_two_seconds() -> None:
    a, _, wire = pair()
    connection = wire.dial("a", "tcp://b")
    connection.to_acceptor.clear()
    a.turn(later_s=1.9)
    assert not connection.to_acceptor
    assert [each["t"] for each in sent(a.turn(later_s=1.2), "tcp://b")] == ["hello"]


def test_another_protocol_is_refused_with_both_versions_named() -> None:
    _, b, _ = pair()
    hello = {"t": "hello", "protocol": 9, "name": "a", "origin": "a.1"}
    (answer,) = sent(b.turn(links=[(b"c1", control(hello))]), b"c1")
    assert answer["t"] == "refuse"
    assert "protocol 9, this node 1" in answer["reason"]
    assert b.links.links == {}


@pytest.mark.parametrize(
    "wrong", [{"name": 5}, {"origin": None}, {"name": None}, {"origin": "x.1"}, {"name": "", "origin": ".1"}]
)
def test_a_greeting_without_a_name_and_an_origin_of_that_name_is_refused(wrong: dict[str, object]) -> None:
    _, b, _ = pair()
    hello = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.1", **wrong}
    assert [each["t"] for each in sent(b.turn(links=[(b"c1", control(hello))]), b"c1")] == ["refuse"]
    assert b.links.links == {}


def test_dialling_oneself_is_refused_and_says_so() -> None:
    a = LinksAlone("a")
    wire = Wire(a)
    wire.dial("a", "tcp://a")
    wire.settle()
    (link,) = a.links.links.values()
    assert (link.state, link.key) == ("refused", "tcp://a")
    assert "this node itself" in link.reason


def test_two_nodes_of_one_name_refuse_each_other_and_name_it() -> None:
    first, second = LinksAlone("a", "1"), LinksAlone("a", "2")
    wire = Wire(first)
    wire.machines["other"], wire.addresses["tcp://other"] = second, "other"
    wire.dial("a", "tcp://other")
    wire.settle()
    assert (first.links.up(), second.links.up()) == (set(), set())
    (link,) = first.links.links.values()
    assert link.state == "refused"
    assert "two nodes are called 'a'" in link.reason


def test_a_refused_link_is_not_asked_again_until_its_next_connection() -> None:
    a = LinksAlone("a")
    wire = Wire(a)
    wire.dial("a", "tcp://a")
    wire.run(30)
    (link,) = a.links.links.values()
    assert (link.state, wire.under_way) == ("refused", 0)


def test_no_more_than_1024_accepted_connections_are_remembered() -> None:
    b = LinksAlone("b")
    for number in range(1030):
        hello = {"t": "hello", "protocol": 1, "name": f"n{number}", "origin": f"n{number}.1"}
        b.turn(links=[(b"c%d" % number, control(hello))], later_s=0)
    assert len(b.links.links) == 1024


def test_who_said_goodbye_and_never_comes_back_takes_nobodys_room() -> None:
    b = LinksAlone("b")
    for number in range(1030):
        key, hello = b"c%d" % number, {"t": "hello", "protocol": 1, "name": f"n{number}", "origin": f"n{number}.1"}
        turn = b.turn(links=[(key, control(hello))], later_s=0.1)
        assert sent(turn, key)[0]["t"] == "hello"
        b.turn(links=[(key, control({"t": "goodbye"}))])
    assert len(b.links.links) <= 65


def test_many_that_say_goodbye_at_once_leave_room_for_others() -> None:
    b = LinksAlone("b")
    for number in range(1024):
        hello = {"t": "hello", "protocol": 1, "name": f"n{number}", "origin": f"n{number}.1"}
        b.turn(links=[(b"c%d" % number, control(hello))], later_s=0)
    b.turn(links=[(key, control({"t": "goodbye"})) for key in list(b.links.links) if isinstance(key, bytes)])
    hello = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.1"}
    b.turn(links=[(b"new", control(hello))])
    assert (b.links.up(), len(b.links.links)) == ({b"new"}, 65)
