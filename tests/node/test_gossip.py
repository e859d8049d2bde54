"""Two tables that talk become one; what is told and when."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.facts import Fact
from node.gossip import Gossip
from node.members import Members
from node.suspicion import knobs
from tests.node.test_members import facts


def gossip(name: str, *known: Fact) -> tuple[Gossip, Members]:
    members = Members(Fact(name, f"{name}.1"), knobs(1.0, 10.0))
    for fact in known:
        members.learn(fact, 0)
    members.take_changed()
    return Gossip(members, lambda found: tuple(map(str, found))), members


def talk(one: Gossip, other: Gossip) -> int:
    """Compare once, to the end; how many messages that took."""
    found = one.compare({"link"})
    assert found is not None
    message: dict[str, Any] | None = found[1]
    speakers, count = [other, one], 0
    while message is not None:
        message = speakers[count % 2].receive(message, 0)
        count += 1
    return count


def known(members: Members) -> set[Fact]:
    return set(members.facts())


@given(st.lists(facts, max_size=12), st.lists(facts, max_size=12))
def test_two_tables_are_one_after_a_comparison(at_a: list[Fact], at_b: list[Fact]) -> None:
    (a, members_a), (b, members_b) = gossip("x", *at_a), gossip("y", *at_b)
    talk(a, b)
    assert {fact.origin: fact.stamp for fact in known(members_a)} == {
        fact.origin: fact.stamp for fact in known(members_b)
    }
    assert talk(a, b) == 1


def test_where_nothing_differs_one_digest_is_all() -> None:
    (a, _), (b, _) = gossip("x", Fact("y", "y.1"), Fact("c", "c.1")), gossip("y", Fact("c", "c.1"), Fact("x", "x.1"))
    assert talk(a, b) == 1


def test_news_goes_to_three_peers_once() -> None:
    a, members = gossip("a")
    up: set[Any] = {f"link {number}" for number in range(9)}
    members.learn(Fact("b", "b.1"), 0)
    told = a.news(up, 0, 0.5)
    assert [link for link, _ in told] == ["link 4", "link 5", "link 6"]
    assert [[row["origin"] for row in message["rows"]] for _, message in told] == [["b.1"]] * 3
    assert a.news(up, 0, 0.5) == []


def test_peers_are_compared_in_turn_and_a_new_one_first() -> None:
    a, _ = gossip("a")
    up: set[Any] = {"1", "2", "3"}
    first = [a.compare(up) for _ in range(2)]
    a.begin("3")
    a.begin("4")
    rest = [a.compare({*up, "4"}) for _ in range(3)]
    assert [each[0] for each in [*first, *rest] if each] == ["1", "2", "4", "3", "1"]


def test_an_age_travels_so_that_all_forget_the_dead_at_one_time() -> None:
    a, _ = gossip("a")
    b, members_b = gossip("b")
    a._members.learn(Fact("c", "c.1", status="dead"), 100_000_000, gone_us=30_000_000)
    told = a.about(a._members.rows["c.1"], 110_000_000)
    b.receive(told, 5_000_000_000)
    assert members_b.rows["c.1"].gone_us == 4_960_000_000


def test_a_cluster_of_fifty_knows_a_newcomer_in_some_rounds_and_is_silent_then() -> None:
    draw = random.Random(7)
    nodes = [gossip(f"n{number}") for number in range(50)]
    for _, members in nodes:
        for _, other in nodes:
            members.learn(other.me, 0)
        members.take_changed()
    nodes[0][1].learn(Fact("new", "new.1"), 0)
    up: set[Any] = {str(number) for number in range(50)}
    sent = 0
    for _ in range(6):
        for talker, _ in nodes:
            for link, message in talker.news(up, 0, draw.random()):
                nodes[int(str(link))][0].receive(message, 0)
                sent += 1
    for talker, _ in nodes:
        found = talker.compare(up)
        assert found is not None
    for (one, _), (other, _) in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        talk(one, other)
    assert all("new.1" in members.rows for _, members in nodes)
    assert sent <= 3 * 50


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": "b", "origin": "c.1", "status": "here", "role": "peer", "incarnation": 1, "sequence": 0},
        {"name": "b", "origin": "b.1", "status": "fine", "role": "peer", "incarnation": 1, "sequence": 0},
        {"name": "b", "origin": "b.1", "status": "here", "role": "king", "incarnation": 1, "sequence": 0},
        {"name": "b", "origin": "b.1", "status": "here", "role": "peer", "incarnation": -1, "sequence": 0},
        {"name": "b", "origin": "b.1", "status": "here", "role": "peer", "incarnation": 1e40, "sequence": 0},
    ],
)
def test_a_row_that_is_none_is_an_error_and_changes_nothing(row: dict[str, Any]) -> None:
    a, members = gossip("a")
    with pytest.raises((ValueError, LookupError)):
        a.receive({"rows": [{"addresses": [], **row}]}, 0)
    assert members.rows == {}


def test_unknown_fields_of_a_row_and_of_a_message_are_ignored() -> None:
    (a, _), (b, members) = gossip("a"), gossip("b")
    message = a.about_me(0)
    message["rows"][0]["shoe_size"] = 43
    assert b.receive({**message, "mood": "fine"}, 0) is None
    assert set(members.rows) == {"a.1"}


def test_two_lives_of_one_incarnation_are_told_apart_by_every_table() -> None:
    lives = [Fact("c", "c.1", 1, life=life) for life in ("x", "y")]
    (a, members_a), (b, members_b) = gossip("a", lives[0]), gossip("b", lives[1])
    talk(a, b)
    assert [members.rows["c.1"].fact.life for members in (members_a, members_b)] == ["y", "y"]
    assert talk(a, b) == 1


def test_what_an_older_release_has_is_compared_without_lives() -> None:
    a, _ = gossip("a", Fact("c", "c.1", 1, life="x"))
    answer = a.receive({"have": [["c.1", 2, 0, 0]]}, 0)
    assert answer is not None
    assert (answer["want"], [row["origin"] for row in answer["rows"]]) == (["c.1"], ["a.1"])


def test_ages_travel_as_ages_and_are_passed_on_as_they_have_grown() -> None:
    (a, _), (b, members_b), (c, members_c) = gossip("a"), gossip("b"), gossip("c")
    b.receive(a.about_me(7_000_000), 100_000_000)
    assert members_b.rows["a.1"].began_us == 93_000_000
    c.receive(b.about(members_b.rows["a.1"], 105_000_000), 50_000_000)
    assert members_c.rows["a.1"].began_us == 38_000_000
