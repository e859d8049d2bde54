"""Whole nodes over a wire in memory: what becomes of members over time, starts and bad words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.frame import decode
from node.facts import Fact
from node.link import KEY_REFUSED
from node.peer_rows import peer_rows
from node.rivals import ASKS_WITHIN_S
from node.turn import Turn
from tests.node.wire import Wire
from tests.node.workbench import Author, Bench, Program, after, control, sent, values

UNREACHED = "no neighbour reaches it: its events do not come here"


class Second(Bench):
    """A node whose origin is another than that of the first of its name."""

    generation = "00000002"


def states(bench: Bench) -> dict[str, str]:
    return {row["name"]: row["state"] for row in peer_rows(bench.node, bench.now)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "m")


def row(name: str, **fields: Any) -> dict[str, Any]:
    usual = {"name": name, "origin": f"{name}.1", "incarnation": 1, "sequence": 0, "status": "here", "role": "peer"}
    return {**usual, "addresses": [f"tcp://{name}:1"], "version": "1.0", "gone_s": 0.0, **fields}


def gossip(bench: Bench, link: str, *rows: dict[str, Any], later_s: float = 0.001) -> Any:
    return bench.turn(links=[(link, control({"t": "members", "rows": list(rows)}))], later_s=later_s)


def test_a_member_heard_of_is_dialled_and_one_that_is_higher_only_after_a_while(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("z"), row("c"))
    turns = [bench.turn(later_s=1.0) for _ in range(5)]
    assert [turn.dials for turn in turns] == [["tcp://z:1"], [], [], [], ["tcp://c:1"]]


def test_a_link_that_falls_makes_its_member_suspect_and_then_dead(bench: Bench) -> None:
    link = bench.peer("b")
    assert states(bench) == {"b": "alive"}
    bench.turn(link_events=[(link, "disconnected", "the connection was closed")])
    assert states(bench) == {"b": "suspect"}
    for _ in range(11):
        bench.turn(later_s=1.0)
    assert states(bench) == {"b": "dead"}


def test_an_address_where_the_key_is_refused_is_told_apart_from_one_that_is_down(bench: Bench) -> None:
    for address, what, reason in (
        ("tcp://x:1", "disconnected", KEY_REFUSED),
        ("tcp://y:1", "disconnected", "the connection was closed"),
        ("tcp://z:1", "unmade", f"cannot dial tcp://z:1: {KEY_REFUSED}"),
    ):
        bench.links.dial([address])
        bench.turn(link_events=[(address, what, reason)])
    rows = {row["address"]: row["link"] for row in peer_rows(bench.node, bench.now)}
    assert rows == {"tcp://x:1": "auth-failed", "tcp://y:1": "connecting", "tcp://z:1": "auth-failed"}
    bench.peer("x", address="tcp://x:1")
    assert [row["link"] for row in peer_rows(bench.node, bench.now) if row["name"] == "x"] == ["up"]


def test_a_seed_that_is_not_reached_is_shown_with_the_reason_and_one_that_went_with_how_it_went(bench: Bench) -> None:
    bench.links.dial(["tcp://x:1"])
    bench.turn(link_events=[("tcp://x:1", "unreached", "its name is not found")])
    (shown,) = peer_rows(bench.node, bench.now)
    assert (shown["address"], shown["link"], shown["reason"]) == ("tcp://x:1", "connecting", "its name is not found")
    link = bench.peer("x", address="tcp://x:1")
    bench.turn(link_events=[(link, "disconnected", "the connection was closed")])
    bench.turn(link_events=[(link, "unreached", "nobody answers there")])
    (shown,) = peer_rows(bench.node, bench.now)
    assert (shown["name"], shown["reason"]) == ("x", "the connection was closed")


def test_a_peer_for_which_no_socket_can_be_made_is_shown_with_the_reason_until_it_is_dialled_again(
    bench: Bench,
) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("z"))
    bench.turn(later_s=1.0)
    bench.turn(link_events=[("tcp://z:1", "unmade", "cannot dial tcp://z:1: Too many open files")])
    (shown,) = [each for each in peer_rows(bench.node, bench.now) if each["name"] == "z"]
    assert (shown["link"], shown["reason"]) == (
        "connecting",
        f"cannot dial tcp://z:1: Too many open files; {UNREACHED}",
    )
    turns = [bench.turn(later_s=1.0) for _ in range(14)]
    assert [turn.dials for turn in turns if turn.dials] == [["tcp://z:1"]]
    assert not bench.links.links["tcp://z:1"].unmade


def test_why_a_member_of_whom_one_only_heard_cannot_be_dialled_is_said(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("z"))
    bench.turn(later_s=1.0)
    bench.turn(link_events=[("tcp://z:1", "disconnected", "the proxy does not answer")])
    (shown,) = [each for each in peer_rows(bench.node, bench.now) if each["name"] == "z"]
    assert (shown["link"], shown["reason"]) == ("connecting", f"the proxy does not answer; {UNREACHED}")


def test_of_a_member_without_a_link_it_is_said_who_carries_for_it_or_that_nobody_can(bench: Bench) -> None:
    def reason() -> str:
        (shown,) = [each for each in peer_rows(bench.node, bench.now) if each["name"] == "z"]
        return str(shown["reason"])

    link = bench.peer("b")
    gossip(bench, link, row("z"))
    assert reason() == f"heard of, never linked; {UNREACHED}"
    reach = {"t": "reach", "version": 1, "names": ["z"], "lost": [], "whole": True}
    bench.turn(links=[(link, control(reach))])
    assert reason() == "heard of, never linked"
    for _ in range(5):
        bench.turn(links=[(link, control({"t": "ping", "at": None, "used": True}))], later_s=1.0)
    assert reason() == "heard of, never linked; b carries its events"


def test_an_address_that_answers_and_does_not_greet_is_shown_with_that(bench: Bench) -> None:
    bench.links.dial(["tcp://x:1"])
    bench.turn(link_events=[("tcp://x:1", "connected", "")])
    (shown,) = peer_rows(bench.node, bench.now)
    assert (shown["link"], shown["reason"]) == ("connecting", "connected, but it has not greeted as a node")


def test_the_round_trip_and_the_clock_of_a_link_that_has_ended_are_not_shown(bench: Bench) -> None:
    link = bench.peer("b")
    bench.turn(later_s=1.0)
    pong = {"t": "pong", "at": bench.now.mono_us - 4000, "wall_us": bench.now.wall_us, "life": "b"}
    bench.turn(links=[(link, control(pong))])
    (shown,) = peer_rows(bench.node, bench.now)
    assert (shown["rtt_ms"], shown["clock_skew_ms"]) == (5.0, 1.5)
    bench.turn(links=[(link, control({"t": "goodbye", "origin": "b.1"}))])
    (shown,) = peer_rows(bench.node, bench.now)
    assert (shown["state"], shown["rtt_ms"], shown["clock_skew_ms"]) == ("left", None, None)


def test_a_member_that_dialled_is_shown_where_it_may_be_dialled_and_one_that_was_dialled_where_it_was(
    bench: Bench,
) -> None:
    addresses = ["tcp://10.0.0.7:7270", "tcp://192.168.0.7:7270"]
    hello = {"t": "hello", "protocol": 1, "name": "c", "origin": "c.1", "listen": "tcp://0.0.0.0:7270"}
    bench.turn(links=[(b"c1", control({**hello, "addresses": addresses}))])
    bench.turn(links=[(b"c2", control({**hello, "name": "d", "origin": "d.1"}))])
    bench.peer("b", address="tcp://b.lan:7270")
    shown = {row["name"]: row["address"] for row in peer_rows(bench.node, bench.now)}
    assert shown == {"b": "tcp://b.lan:7270", "c": "tcp://10.0.0.7:7270", "d": "tcp://0.0.0.0:7270"}


def test_a_node_that_slept_accuses_nobody_and_keeps_its_links(bench: Bench) -> None:
    bench.peer("b")
    bench.turn(later_s=60.0)
    assert states(bench) == {"b": "alive"}
    for _ in range(9):
        bench.turn(later_s=1.0)
    assert states(bench) == {"b": "suspect"}
    bench.turn(later_s=1.0)
    bench.turn(later_s=1.0)
    assert bench.links.up() == set()


def test_who_asks_in_the_turn_in_which_a_node_wakes_is_told_of_no_suspicion(bench: Bench) -> None:
    bench.peer("b")
    bench.now = after(bench.now, 60.0)
    assert [(row["name"], row["state"]) for row in bench.ask("peers")["rows"]] == [("b", "alive")]


def test_goodbye_is_told_apart_from_death_and_told_on(bench: Bench) -> None:
    left, other = bench.peer("b"), bench.peer("c")
    bench.turn()
    turn = bench.turn(links=[(left, control({"t": "goodbye"}))])
    assert states(bench) == {"b": "left", "c": "alive"}
    told = [each for each in sent(turn, other) if each["t"] == "members" and "rows" in each]
    assert [(each["origin"], each["status"]) for each in told[0]["rows"]] == [("b.1", "left")]


@pytest.mark.parametrize("goodbye", [True, False])
def test_the_end_of_a_link_to_a_former_life_says_nothing_of_the_next_one(bench: Bench, goodbye: bool) -> None:
    bench.links.dial(["tcp://b:1"])
    hello = {"t": "hello", "answer": True, "protocol": 1, "name": "b", "origin": "b.1", "life": "x", "incarnation": 1}
    bench.turn(link_events=[("tcp://b:1", "connected", "")])
    bench.turn(links=[("tcp://b:1", control(hello))])
    gossip(bench, bench.peer("c"), row("b", incarnation=2, life="y"))
    if goodbye:
        bench.turn(links=[("tcp://b:1", control({"t": "goodbye"}))])
    for _ in range(25):
        bench.turn(later_s=1.0)
    assert bench.links.links["tcp://b:1"].state != "up"
    fact = bench.membership.members.rows["b.1"].fact
    assert (fact.incarnation, fact.status, states(bench)["b"]) == (2, "here", "known")


def test_who_hears_of_its_own_death_contradicts_only_when_that_is_on_disk(bench: Bench) -> None:
    link = bench.peer("b")
    me = row("m", origin=bench.origin, status="dead", incarnation=bench.links.me.incarnation)
    turn = gossip(bench, link, me)
    assert bench.store.read_meta()["incarnation"] == "2"
    assert not [each for each in sent(turn, link) if each["t"] == "members" and "rows" in each]
    told = [each for each in sent(bench.turn(), link) if each["t"] == "members" and "rows" in each]
    assert [(each["incarnation"], each["status"]) for each in told[0]["rows"]] == [(2, "here")]


def test_a_leaf_that_changes_its_peers_is_not_called_dead_and_its_real_death_is_noticed_by_all(tmp_path: Path) -> None:
    a, b, leaf = Bench(tmp_path, "a"), Bench(tmp_path, "b"), Bench(tmp_path, "leaf", role="leaf")
    wire = Wire(a, b, leaf)
    lost, _, kept = wire.dial("leaf", "tcp://a"), wire.dial("a", "tcp://b"), wire.dial("leaf", "tcp://b")
    wire.settle()
    a.turn(link_events=[(lost.routing_id, "disconnected", "the connection was closed")])
    wire.cut(lost)
    wire.run(30.0)
    assert states(a) == {"b": "alive", "leaf": "known"}
    assert (states(b)["leaf"], leaf.links.me.incarnation) == ("alive", 1)
    del wire.machines["leaf"]
    b.turn(link_events=[(kept.routing_id, "disconnected", "the connection was closed")])
    wire.connections.remove(kept)
    wire.run(12.0)
    assert (states(a)["leaf"], states(b)["leaf"]) == ("dead", "dead")


def test_a_member_says_four_times_an_hour_that_it_is_here(bench: Bench) -> None:
    link, told = bench.peer("b"), []
    for _ in range(3600):
        pong = control({"t": "pong", "at": 0, "wall_us": 0})
        said = sent(bench.turn(links=[(link, pong)], later_s=1.0), link)
        told += [row["sequence"] for each in said for row in each.get("rows", ()) if row["origin"] == bench.origin]
    assert told == [1, 2, 3, 4]


def test_who_was_forgotten_in_a_long_partition_is_a_member_again_when_it_is_linked(tmp_path: Path) -> None:
    a, b = Bench(tmp_path, "a"), Bench(tmp_path, "b")
    wire = Wire(a, b)
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    wire.cut(connection)
    for _ in range(1100):
        for each in (a, b):
            each.turn(later_s=4)
    assert not {row.fact.name for row in b.membership.members.rows.values()}
    wire.connect("a", "tcp://b")
    wire.settle()
    wire.run(3)
    assert (states(a), states(b)) == ({"b": "alive"}, {"a": "alive"})
    facts = [row.fact for each in (a, b) for row in each.membership.members.rows.values()]
    assert [(fact.incarnation, fact.status) for fact in facts] == [(2, "here"), (2, "here")]


def test_members_are_known_again_after_a_start_and_dialled(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("z"), row("l", role="leaf", addresses=[]))
    bench.turn()
    bench.restart()
    assert states(bench) == {"b": "known", "z": "known"}
    assert bench.turn().dials == ["tcp://z:1"]


def test_a_peer_that_has_later_events_of_this_origin_shows_that_the_database_is_old(bench: Bench) -> None:
    author = Author()
    bench.greet(author)
    bench.turn(author.frame("T", 1, 2))
    link = bench.peer("b")
    bench.turn(links=[(link, control({"t": "known", "heads": [["T", 2]]}))])
    assert bench.membership.divergence.outdated == ""
    bench.turn(links=[(link, control({"t": "known", "heads": [["T", 3]]}))])
    assert bench.membership.divergence.outdated == "b has event 3 of 'T' from this node, whose own last is 2"


def test_a_higher_incarnation_than_its_own_shows_the_same(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("m", origin=bench.origin, incarnation=7))
    bench.turn(later_s=1.0)
    assert bench.membership.divergence.outdated == "it was known with incarnation 7, and has 1"


def test_a_former_origin_of_the_node_itself_that_is_gone_is_not_shown_as_a_peer(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("m", origin="m.0badc0de", status="left"))
    assert states(bench) == {"b": "alive"}


def test_two_of_a_name_that_meet_at_a_third_nodes_table_both_learn_of_it(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("m", origin="m.2"))
    for _ in range(11):
        bench.turn(links=[(link, control({"t": "pong", "at": 0, "wall_us": 0}))], later_s=1.0)
    assert "m.2 at tcp://m:1" in bench.membership.conflict


def test_a_member_that_yields_is_shown_with_the_reason_beside_who_keeps_the_name(bench: Bench) -> None:
    link = bench.peer("b")
    hello = {"t": "hello", "protocol": 1, "name": "b", "origin": "b.2", "life": "y", "age_s": 1e6}
    bench.links.links[link].began_us = bench.now.mono_us
    (ping,) = sent(bench.turn(links=[(b"c1", control(hello))]), b"c1")
    pong = {"t": "pong", "at": ping["at"], "wall_us": 0, "life": "y"}
    turn = bench.turn(links=[(b"c1", control(pong))])
    assert [each["code"] for each in sent(turn, link) if each["t"] == "refuse"] == ["name"]
    rows = {row["origin"]: (row["state"], row["reason"]) for row in peer_rows(bench.node, bench.now)}
    assert rows == {"b.1": ("known", "two nodes are called 'b': b.1 and b.2; rename one"), "b.2": ("alive", "")}


def two_of_a_name(tmp_path: Path) -> tuple[Wire, Bench, Bench, Bench]:
    """A peer `p` that was linked with the younger of two called `a`, and then met the elder."""
    (tmp_path / "b").mkdir()
    p, elder, younger = Bench(tmp_path, "p"), Bench(tmp_path, "a"), Second(tmp_path / "b", "a")
    elder.links._greetings.began_us -= 60_000_000
    wire = Wire(p)
    wire.machines |= {"elder": elder, "younger": younger}
    for label in ("younger", "elder"):
        wire.dial(label, "tcp://p")
        wire.settle()
    wire.run(6)
    return wire, p, elder, younger


def shown(bench: Bench) -> dict[str, tuple[str, str]]:
    return {row["origin"]: (row["state"], row["reason"]) for row in peer_rows(bench.node, bench.now)}


def test_a_rival_is_shown_while_it_asks_and_when_it_has_stopped_nobody_speaks_of_two_any_more(tmp_path: Path) -> None:
    wire, p, elder, younger = two_of_a_name(tmp_path)
    asks = ("known", f"two nodes are called 'a': {younger.origin} and {elder.origin}; rename one")
    wire.run(60)
    assert shown(p) == {elder.origin: ("alive", ""), younger.origin: asks}
    assert younger.origin in elder.membership.conflict
    del wire.machines["younger"]
    wire.cut(wire.connections[0])
    wire.run(ASKS_WITHIN_S + 8)
    assert shown(p) == {elder.origin: ("alive", ""), younger.origin: asks}
    wire.run(5)
    assert shown(p) == {elder.origin: ("alive", "")}
    wire.run(25)
    assert elder.membership.conflict == ""
    assert p.membership.members.rows[younger.origin].fact.status == "dead"


@pytest.mark.parametrize("dials", [["younger-p", "elder-p"], ["elder-p", "younger-p"], ["elder-p", "p-younger"]])
def test_a_rival_that_stops_in_good_order_is_spoken_of_no_more(tmp_path: Path, dials: list[str]) -> None:
    (tmp_path / "b").mkdir()
    p, elder, younger = Bench(tmp_path, "p"), Bench(tmp_path, "a"), Second(tmp_path / "b", "a")
    elder.links._greetings.began_us -= 60_000_000
    wire = Wire(p)
    wire.machines |= {"elder": elder, "younger": younger}
    wire.addresses["tcp://younger"] = "younger"
    for dialler, _, address in (each.partition("-") for each in dials):
        wire.dial(dialler, f"tcp://{address}")
        wire.settle()
    p.links.dial(["tcp://nobody"])
    wire.run(6)
    assert (set(shown(p)), younger.origin in elder.membership.conflict) == ({"", elder.origin, younger.origin}, True)
    stops = Turn(younger.now)
    younger.node.goodbye(stops)
    del wire.machines["younger"]
    wire.send(younger, stops)
    wire.settle()
    wire.run(3)
    assert (set(shown(p)), elder.membership.conflict) == ({"", elder.origin}, "")
    assert p.links.links["tcp://nobody"].state == "connecting"
    assert p.membership.members.rows[younger.origin].fact.status == "left"


@pytest.mark.parametrize("life", ["", "x"])
def test_a_stranger_says_no_goodbye_for_a_member_that_is_linked(bench: Bench, life: str) -> None:
    bench.peer("b")
    bench.turn(links=[(b"c1", control({"t": "goodbye", "origin": "b.1", "life": life}))])
    assert states(bench) == {"b": "alive"}


def test_a_member_that_refuses_this_node_for_its_name_has_no_second_row_for_its_address(bench: Bench) -> None:
    gossip(bench, bench.peer("b"), row("m", origin="m.2"))
    bench.links.dial(["tcp://m:1"])
    refusal = {"t": "refuse", "code": "name", "reason": "two nodes", "by": "m", "keeps": "m.2"}
    bench.turn(link_events=[("tcp://m:1", "connected", "")])
    bench.turn(links=[("tcp://m:1", control(refusal))])
    assert [(row["name"], row["address"]) for row in peer_rows(bench.node, bench.now)] == [
        ("b", "tcp://b:7270"),
        ("m", "tcp://m:1"),
    ]


def test_a_rival_that_listens_everywhere_is_named_with_an_address_by_which_it_is_found(bench: Bench) -> None:
    link = bench.peer("b")
    said = {"protocol": 1, "listen": "tcp://0.0.0.0:7270", "addresses": ["tcp://10.0.0.9:7270"]}
    turn = bench.turn(links=[(b"c1", control({"t": "hello", "name": "b", "origin": "b.2", **said}))])
    told = [each for each in sent(turn, link) if each["t"] == "rival"]
    assert told == [{"t": "rival", "origin": "b.2", "listen": "tcp://10.0.0.9:7270"}]
    bench.turn(links=[(b"c2", control({"t": "hello", "name": "m", "origin": "m.2", **said}))])
    bench.turn(later_s=1.0)
    assert "m.2 at tcp://10.0.0.9:7270" in bench.membership.conflict


def test_a_rival_that_was_never_let_in_is_shown_to_all_while_it_asks(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    p, q, elder, younger = *(Bench(tmp_path, name) for name in "pqa"), Second(tmp_path / "b", "a")
    elder.links._greetings.began_us -= 60_000_000
    wire = Wire(p, q)
    wire.machines |= {"elder": elder, "younger": younger}
    for label, address in (("q", "tcp://p"), ("elder", "tcp://p"), ("elder", "tcp://q"), ("younger", "tcp://p")):
        wire.dial(label, address)
        wire.settle()
    asks = ("known", f"two nodes are called 'a': {younger.origin} and {elder.origin}; rename one")
    wire.run(30)
    assert (shown(p)[younger.origin], shown(q)[younger.origin]) == (asks, asks)
    assert shown(p)[elder.origin] == shown(q)[elder.origin] == ("alive", "")
    del wire.machines["younger"]
    wire.cut(wire.connections[3])
    wire.run(ASKS_WITHIN_S + 15)
    assert younger.origin not in {**shown(p), **shown(q)}


def test_a_rival_that_pauses_between_its_attempts_is_spoken_of_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    p, elder, younger = Bench(tmp_path, "p"), Bench(tmp_path, "a"), Second(tmp_path / "b", "a")
    elder.links._greetings.began_us -= 60_000_000
    wire = Wire(p)
    wire.machines |= {"elder": elder, "younger": younger}
    wire.dial("elder", "tcp://p")
    wire.settle()
    younger.membership.members.learn(Fact("p", p.origin, 1, addresses=("tcp://p",)), younger.now.mono_us)
    younger.draw = 0.9
    told, attempts = set[bool](), 0
    while attempts < 7:
        for machine in (p, elder, younger):
            turn = wire.tell(machine, later_s=0.5)
            if machine is younger and turn.undials:
                wire.connections = [each for each in wire.connections if each.dialler is not younger]
            for address in turn.dials if machine is younger else ():
                wire.connect("younger", address)
                attempts += 1
        wire.settle()
        if attempts > 1:
            told.add(younger.origin in elder.membership.conflict)
    assert told == {True}


def test_a_rival_that_is_called_dead_is_told_so_where_it_asks_and_contradicts(tmp_path: Path) -> None:
    wire, p, elder, younger = two_of_a_name(tmp_path)
    fact = p.membership.members.rows[younger.origin].fact
    gossip(p, wire.connections[1].routing_id, fact._replace(status="dead")._asdict())
    assert shown(p) == {elder.origin: ("alive", "")}
    wire.run(6)
    assert shown(p)[younger.origin][0] == "known"
    assert younger.links.me.incarnation == fact.incarnation + 1


@pytest.mark.parametrize("count", [1e30, -1, float(1 << 60), "many"])
@pytest.mark.parametrize("field", ["incarnation", "sequence"])
def test_a_greeting_with_a_count_that_is_none_is_counted_as_malformed_and_brings_nobody(
    bench: Bench, field: str, count: object
) -> None:
    hello = {"t": "hello", "protocol": 1, "name": "b", "origin": "b.1", "addresses": ["tcp://b:1"], field: count}
    bench.turn(links=[(b"c1", control(hello))])
    for _ in range(3):
        bench.turn(later_s=1.0)
    assert (bench.membership.members.rows, bench.node.counts["malformed control"]) == ({}, 1)


@pytest.mark.parametrize("wrong", [{"bears_s": "x"}, {"addresses": 5}])
@pytest.mark.parametrize("lost_disk", [False, True])
def test_a_malformed_greeting_in_a_name_that_is_linked_is_not_held_until_nobody_is_there_to_blame(
    bench: Bench, lost_disk: bool, wrong: dict[str, Any]
) -> None:
    link = bench.peer("b")
    bench.links.links[link].began_us = bench.now.mono_us
    who = {"origin": "b.2", "age_s": 1e6} if lost_disk else {"origin": "b.1", "incarnation": 5}
    hello = {"t": "hello", "protocol": 1, "name": "b", "life": "y", **who, **wrong}
    bench.turn(links=[(b"c1", control(hello))])
    pong = {"t": "pong", "at": bench.now.mono_us, "wall_us": 0, "life": "y"}
    bench.turn(links=[(b"c1", control(pong))])
    bench.turn(later_s=3.0)
    assert (states(bench), bench.node.counts["malformed control"]) == ({"b": "alive"}, 1)


def test_a_greeting_in_a_name_that_its_origin_has_not_spoils_no_gossip(tmp_path: Path) -> None:
    a, b = Bench(tmp_path, "a"), Bench(tmp_path, "b")
    wire = Wire(a, b)
    wire.dial("a", "tcp://b")
    wire.settle()
    hello = {"t": "hello", "protocol": 1, "name": "x", "origin": "y.1", "role": "peer", "addresses": ["tcp://x:1"]}
    wire.tell(a, links=[(b"g", control(hello))])
    a.membership.members.learn(Fact("z", "z.1", 1, addresses=("tcp://z:1",)), a.now.mono_us)
    wire.run(5)
    assert (b.node.counts["malformed control"], states(b)) == (0, {"a": "alive", "z": "known"})


@pytest.mark.parametrize("wrong", [{}, {"bears_s": "x"}, {"age_s": [1]}, {"addresses": 5}])
def test_a_greeting_on_a_link_in_another_name_changes_nothing(bench: Bench, wrong: dict[str, Any]) -> None:
    link = bench.peer("b")
    hello = {"t": "hello", "protocol": 1, "name": "x", "origin": "x.1", **wrong}
    bench.turn(links=[(link, control(hello))])
    assert states(bench) == {"b": "alive"}
    bench.turn(link_events=[(link, "disconnected", "the connection was closed")])
    for _ in range(11):
        bench.turn(later_s=1.0)
    assert states(bench) == {"b": "dead"}


def test_a_twin_takes_a_new_generation(bench: Bench) -> None:
    link = bench.peer("b")
    refusal = {"t": "refuse", "code": "twin", "reason": "two processes are m.1", "origin": bench.origin, "life": ""}
    bench.turn(links=[(link, control(refusal))])
    assert bench.membership.divergence.outdated == "two processes are m.1"


def test_who_hears_of_another_process_under_its_own_incarnation_takes_a_new_generation(bench: Bench) -> None:
    link = bench.peer("b")
    gossip(bench, link, row("m", origin=bench.origin, life="another"))
    bench.turn(later_s=1.0)
    assert bench.membership.divergence.outdated.startswith("another process speaks as this one")


def test_nodes_that_know_the_same_exchange_a_digest_a_heartbeat_and_nothing_else(tmp_path: Path) -> None:
    a, b = Bench(tmp_path, "a"), Bench(tmp_path, "b")
    wire = Wire(a, b)
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    wire.run(5.0)
    a.turn(later_s=1.0)
    said = [each for each in sent(a.turn(later_s=1.0), connection.address) if each["t"] == "members"]
    assert [list(each) for each in said] == [["t", "digest"]]
    answer = b.turn(links=[(connection.routing_id, control(said[0]))])
    assert [each for each in sent(answer, connection.routing_id) if "have" in each] == []


def test_a_table_full_of_strangers_costs_no_member_that_is_linked(bench: Bench) -> None:
    link = bench.peer("b")
    for number in range(8):
        gossip(bench, link, *[row(f"x{number}-{each}") for each in range(200)])
    members = bench.membership.members
    assert (len(members.rows), members.turned_away) == (1024, 8 * 200 + 1 - 1024)
    assert states(bench)["b"] == "alive"


@pytest.mark.parametrize("told", [[], [{"sequence": 5}], [{"sequence": 5, "status": "dead"}]])
def test_a_member_that_was_linked_while_the_table_was_full_is_alive_as_soon_as_there_is_room(
    bench: Bench, told: list[dict[str, Any]]
) -> None:
    link = bench.peer("b")
    for number in range(6):
        gossip(bench, link, *[row(f"x{number}-{each}") for each in range(200)])
    shut_out = bench.peer("y")
    bench.turn(later_s=1.0)
    assert "y.1" not in bench.membership.members.rows
    gossip(bench, link, *[row(f"x0-{each}", sequence=1, status="dead") for each in range(2)])
    gossip(bench, link, *[row("y", **each) for each in told])
    said = sent(bench.turn(later_s=1.0), shut_out)
    assert states(bench)["y"] == "alive"
    gone = {each["name"] for message in said for each in message.get("rows", ()) if each["status"] == "dead"} & {"y"}
    assert gone == {"y" for each in told if "status" in each}, "it hears of it, and contradicts"


def test_a_greeting_says_what_others_must_know(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m")
    bench.links.dial(["tcp://b:1"])
    (hello,) = sent(bench.turn(link_events=[("tcp://b:1", "connected", "")]), "tcp://b:1")
    assert {key: hello[key] for key in ("role", "incarnation", "addresses", "protocol", "protocol_min")} == {
        "role": "peer",
        "incarnation": 1,
        "addresses": [],
        "protocol": 1,
        "protocol_min": 1,
    }
    assert Fact("m", bench.origin, 1, version="1.0") == bench.membership.members.me


def test_a_link_that_changes_its_connection_forgets_no_interest_and_loses_no_event(tmp_path: Path) -> None:
    a, b = Bench(tmp_path, "a"), Bench(tmp_path, "b")
    wire = Wire(a, b)
    subscriber, author = Program(b, "reader"), Author()
    subscriber.attach()
    subscriber.subscribe("c", "T")
    first = wire.dial("b", "tcp://a")
    wire.settle()
    a.greet(author)
    second = wire.dial("a", "tcp://b")

    for number in range(40):
        wire.send(a, a.turn(author.frame("T", number)))
        assert [a.state.interest.of(key) for key in a.links.up()] == [{"b": ("T",)}]
        for connection in (first, second):
            wire.deliver(connection, to_acceptor=True)
            wire.deliver(connection, to_acceptor=False)
    wire.settle()
    received = [event for row in b.state.log.rows_since(0) for event in values(decode(row.frame))]
    assert wire.used("a") == [("c2", True)]
    assert received == list(range(40))


@pytest.mark.parametrize(
    ("name", "status", "others", "lost"),
    [
        ("b", "dead", False, False),  # it may be back
        ("b", "dead", True, True),  # its machine has begun anew
        ("m", "dead", False, True),  # as this one has
        ("m", "here", False, False),  # another node of this name, which lives
    ],
)
def test_an_origin_is_lost_for_good_when_it_is_gone_and_its_name_has_another(
    bench: Bench, name: str, status: str, others: bool, lost: bool
) -> None:
    link = bench.peer("c")
    gossip(bench, link, row(name, origin=f"{name}.0", status=status), *[row(name)] * others)
    assert bench.membership.lost_for_good(f"{name}.0") is lost
