"""Who keeps a name that two nodes have; a restart, a copy and a backup are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.rivals import Claim, Rivals, Verdict, began_us, prevails, verdict
from node.turn import Turn
from tests.node.wire import LinksAlone, Wire
from tests.node.workbench import START, Bench, control

S = 1_000_000


def claim(generation: str = "1", life: str = "x", incarnation: int = 1, began_s: float | None = 0.0) -> Claim:
    return Claim(f"a.{generation}", life, incarnation, None if began_s is None else int(began_s * S))


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("newcomer", "holder", "found"),
    [
        (claim(life="x"), claim(life="x"), Verdict.SAME),
        (claim(life=""), claim(life="x", incarnation=7), Verdict.SAME),
        (claim(life="y", incarnation=2), claim(life="x"), Verdict.ASK_HOLDER),
        (claim(life="y", incarnation=1), claim(life="x"), Verdict.TWIN),
        (claim(life="y", incarnation=1), claim(life="x", incarnation=2), Verdict.ASK_FORMER),
        (claim("2", began_s=10), claim("1", began_s=20), Verdict.ASK_NEWCOMER),
        (claim("2", began_s=20), claim("1", began_s=10), Verdict.YOUNGER),
        (claim("1", began_s=10.5), claim("2", began_s=10), Verdict.ASK_NEWCOMER),
        (claim("2", began_s=10), claim("1", began_s=10.5), Verdict.YOUNGER),
        (claim("2", began_s=None), claim("1", began_s=10), Verdict.YOUNGER),
        (claim("2", began_s=10), claim("1", began_s=None), Verdict.YOUNGER),
    ],
)
def test_what_a_greeting_is_beside_a_link_that_has_its_name(newcomer: Claim, holder: Claim, found: Verdict) -> None:
    assert verdict(newcomer, holder) is found


def test_of_two_that_say_their_age_exactly_one_keeps_the_name() -> None:
    claims = [claim(generation, began_s=began_s) for generation in "12" for began_s in (0, 0.4, 1.0, 1.1, 9)]
    for one in claims:
        for other in claims:
            assert one.origin == other.origin or prevails(one, other) is not prevails(other, one)


def test_an_age_is_bounded_and_may_be_missing() -> None:
    assert [began_us(said, 10 * S) for said in ({}, {"age_s": 4}, {"age_s": -3.0})] == [None, 6 * S, 10 * S]
    assert began_us({"age_s": 1e300}, 0) == -int(1e9) * S
    with pytest.raises(ValueError, match="could not convert"):
        began_us({"age_s": "old"}, 0)


def judged(rivals: Rivals, at_s: float, generation: str = "1", life: str = "y", incarnation: int = 2) -> Verdict:
    """A greeting on the connection "new", of another process than the one that is linked over "old"."""
    greeting = {"name": "a", "origin": f"a.{generation}", "life": life, "incarnation": incarnation, "age_s": 1000}
    return rivals.judge("new", greeting, "old", claim(life="x"), int(at_s * S))


@pytest.mark.parametrize(
    ("generation", "incarnation", "asked", "elsewhere", "life", "answered", "silent"),
    [
        ("1", 2, Verdict.ASK_HOLDER, "new", "x", Verdict.TWIN, Verdict.SAME),
        ("1", 0, Verdict.ASK_FORMER, "old", "y", Verdict.TWIN, Verdict.STALE),
        ("2", 2, Verdict.ASK_NEWCOMER, "old", "y", Verdict.ELDER, Verdict.STALE),
    ],
)
def test_a_greeting_waits_two_seconds_for_the_word_of_whoever_is_asked(
    generation: str, incarnation: int, asked: Verdict, elsewhere: str, life: str, answered: Verdict, silent: Verdict
) -> None:
    rivals, who_greets = Rivals(), (generation, "y", incarnation)
    assert [judged(rivals, at_s, *who_greets) for at_s in (5, 5.1, 7)] == [asked, Verdict.WAIT, Verdict.WAIT]
    here = "old" if elsewhere == "new" else "new"
    for key, who, at_s in ((elsewhere, life, 6), (here, "another", 6), (here, life, 4.9)):
        rivals.answered(key, who, int(at_s * S))
    assert judged(rivals, 7.1, *who_greets) is silent
    judged(rivals, 10, *who_greets)
    rivals.answered(here, life, 10 * S)
    assert (judged(rivals, 10.1, *who_greets), rivals.held) == (answered, [])


def test_another_life_begins_its_own_wait_and_a_connection_that_ends_takes_its_greeting_along() -> None:
    rivals = Rivals()
    judged(rivals, 5)
    assert judged(rivals, 8, life="z") is Verdict.ASK_HOLDER
    assert [greeting["life"] for _, greeting in rivals.held] == ["z"]
    rivals.ended("new")
    assert rivals.held == []


# ── over a wire ──────────────────────────────────────────────────────────────────────────────────────────────────────


def meeting(*machines: LinksAlone) -> tuple[LinksAlone, Wire]:
    """A peer `b`, and several machines called `a` that know its address: their labels on the wire are their lives."""
    b = LinksAlone("b", patterns=("B",))
    wire = Wire(b)
    for each in machines:
        wire.machines[each.links.me.life] = each
    return b, wire


def holds(machine: LinksAlone) -> list[tuple[str, str]]:
    """Origin and life of whom a machine is linked with."""
    links = machine.links.links.values()
    return [(link.origin, link.life) for link in links if link.state == "up"]


@pytest.mark.parametrize("first", ["elder", "younger"])
def test_the_elder_of_two_is_linked_whoever_came_first_and_the_other_when_it_is_gone(first: str) -> None:
    elder = LinksAlone("a", "2", ("A",), life="elder", age_s=60)
    younger = LinksAlone("a", "1", ("A",), life="younger", age_s=5)
    b, wire = meeting(elder, younger)
    connections = {}
    for label in (first, *({"elder", "younger"} - {first})):
        connections[label] = wire.dial(label, "tcp://b")
        wire.settle()
    wire.run(6)
    assert (holds(b), holds(elder), holds(younger)) == ([("a.2", "elder")], [("b.1", "")], [])
    (refused,) = younger.links.links.values()
    assert (refused.refused, refused.reason) == (
        "name",
        "two nodes are called 'a': a.1 and a.2, which keeps it; rename one",
    )
    wire.cut(connections["elder"])
    wire.run(6)
    assert (holds(b), holds(younger), list(b.wanted.values())) == ([("a.1", "younger")], [("b.1", "")], [["A"]])


def test_who_dialled_both_keeps_the_elder_and_does_not_greet_the_other_before_that_is_gone() -> None:
    elder = LinksAlone("a", "2", life="elder", age_s=60)
    younger = LinksAlone("a", "1", life="younger", age_s=5)
    b, wire = meeting(elder, younger)
    wire.addresses |= {"tcp://elder": "elder", "tcp://younger": "younger"}
    wire.dial("b", "tcp://younger")
    wire.settle()
    kept = wire.dial("b", "tcp://elder")
    wire.settle()
    before = len(younger.heard)
    wire.run(20)
    assert (holds(b), holds(younger), younger.heard[before:]) == ([("a.2", "elder")], [], [])
    wire.cut(kept)
    wire.run(6)
    assert (holds(b), holds(younger)) == ([("a.1", "younger")], [("b.1", "")])


def test_a_copied_directory_is_refused_as_long_as_the_other_process_answers_and_nothing_of_it_comes_in() -> None:
    first = LinksAlone("a", patterns=("A",), life="first", incarnation=1)
    copy = LinksAlone("a", patterns=("A",), life="copy", incarnation=2)
    b, wire = meeting(first, copy)
    wire.dial("first", "tcp://b")
    wire.settle()
    connection = wire.dial("copy", "tcp://b")
    connection.to_acceptor.append(b"A\x00 a frame")
    wire.settle()
    wire.run(1)
    assert (holds(b), holds(copy), b.frames) == ([("a.1", "first")], [], [])
    assert [(kind, link) for kind, link in copy.heard] == [("twin", "tcp://b")]
    assert [kind for kind, _ in first.heard if kind in ("down", "rival")] == ["rival"]


def test_a_late_greeting_of_an_elder_that_is_gone_takes_nobodys_place() -> None:
    elder = LinksAlone("a", "2", life="elder", age_s=60)
    younger = LinksAlone("a", "1", life="younger")
    b, wire = meeting(elder, younger)
    wire.dial("younger", "tcp://b")
    wire.settle()
    wire.dial("elder", "tcp://b").deaf = True
    late = b"".join(wire.connections[1].to_acceptor)
    wire.tell(b, links=[(wire.connections[1].routing_id, late)])
    wire.run(4)
    assert (holds(b), holds(younger)) == ([("a.1", "younger")], [("b.1", "")])


@pytest.mark.parametrize("broken", [True, False])
def test_a_late_greeting_of_the_life_before_a_restart_is_no_twin(broken: bool) -> None:
    first = LinksAlone("a", patterns=("A",), life="first", incarnation=1)
    again = LinksAlone("a", patterns=("A",), life="again", incarnation=2)
    b, wire = meeting(first, again)
    former = wire.dial("first", "tcp://b")
    former.deaf = True
    (late,) = former.to_acceptor
    del wire.machines["first"]
    if broken:
        wire.connections.remove(former)
    wire.dial("again", "tcp://b")
    wire.settle()
    wire.tell(b, links=[(former.routing_id, late)])
    wire.run(4)
    assert (holds(b), holds(again), list(b.wanted.values())) == ([("a.1", "again")], [("b.1", "")], [["A"]])
    assert [kind for kind, _ in again.heard if kind in ("down", "rival", "twin")] == []


def test_who_runs_on_a_backup_is_refused_when_it_says_that_it_is_there() -> None:
    first = LinksAlone("a", patterns=("A",), life="first", incarnation=7)
    backup = LinksAlone("a", patterns=("A",), life="backup", incarnation=2)
    b, wire = meeting(first, backup)
    wire.dial("first", "tcp://b")
    wire.settle()
    wire.dial("backup", "tcp://b")
    wire.settle()
    wire.tell(b)
    assert (holds(b), holds(backup)) == ([("a.1", "first")], [])
    wire.settle()
    assert ([kind for kind, _ in backup.heard], b.now.mono_us - START.mono_us < 100_000) == (["twin"], True)
    assert [kind for kind, _ in first.heard if kind in ("down", "rival")] == ["rival"]


def test_a_restart_is_let_in_at_once_where_the_former_connection_is_found_broken() -> None:
    first = LinksAlone("a", patterns=("A",), life="first", incarnation=1)
    again = LinksAlone("a", patterns=("A",), life="again", incarnation=2)
    b, wire = meeting(first, again)
    connection = wire.dial("first", "tcp://b")
    wire.settle()
    wire.connections.remove(connection)
    wire.dial("again", "tcp://b")
    wire.settle()
    wire.tell(b)
    wire.settle()
    assert (holds(b), holds(again)) == ([("a.1", "again")], [("b.1", "")])
    assert b.now.mono_us - START.mono_us < 100_000


def test_a_restart_after_its_machine_vanished_is_let_in_when_the_former_connection_stays_silent() -> None:
    first = LinksAlone("a", patterns=("A",), life="first", incarnation=1)
    again = LinksAlone("a", patterns=("A",), life="again", incarnation=2)
    b, wire = meeting(first, again)
    silent = wire.dial("first", "tcp://b")
    wire.settle()
    silent.deaf = True
    wire.dial("again", "tcp://b")
    wire.settle()
    assert (holds(b), b.links.idle_ms(b.now, 500)) == ([("a.1", "first")], 20)
    wire.run(3)
    assert (holds(b), holds(again)) == ([("a.1", "again")], [("b.1", "")])


def test_who_was_taken_for_gone_and_speaks_again_is_asked_and_found_to_be_a_twin() -> None:
    first = LinksAlone("a", life="first", incarnation=1)
    copy = LinksAlone("a", life="copy", incarnation=2)
    b, wire = meeting(first, copy)
    silent = wire.dial("first", "tcp://b")
    wire.settle()
    silent.deaf = True
    wire.dial("copy", "tcp://b")
    wire.run(4)
    assert holds(b) == [("a.1", "copy")]
    silent.deaf = False
    wire.run(4)
    assert ("twin", "tcp://b") in first.heard
    assert (holds(b), holds(first)) == ([("a.1", "copy")], [])


def test_a_refusal_that_was_meant_for_a_former_life_is_not_heeded() -> None:
    a, b = LinksAlone("a", life="y"), LinksAlone("b")
    wire = Wire(a, b)
    wire.dial("a", "tcp://b")
    wire.settle()
    for life, heard in (("x", []), ("y", ["down", "twin"])):
        refusal = {"t": "refuse", "code": "twin", "reason": "no", "origin": "a.1", "life": life}
        before = len(a.heard)
        a.turn(links=[("tcp://b", control(refusal))])
        assert [kind for kind, _ in a.heard[before:]] == heard


def held_on_a_dialled_connection() -> tuple[LinksAlone, Wire]:
    """A node whose link to `a` was dialled by that; it dialled as well, and there the next life of `a` has greeted."""
    b, wire = meeting(LinksAlone("a", life="first", incarnation=1), LinksAlone("a", life="again", incarnation=2))
    wire.addresses["tcp://a"] = "again"
    wire.dial("first", "tcp://b")
    wire.settle()
    wire.connections[0].deaf = True
    wire.dial("b", "tcp://a")
    wire.settle()
    assert b.links.idle_ms(b.now, 500) == 20
    return b, wire


def test_a_greeting_is_not_held_any_longer_than_its_connection_is_kept() -> None:
    b, _ = held_on_a_dialled_connection()
    b.links.undial(["tcp://a"], Turn(b.now))
    assert (b.links.idle_ms(b.now, 500) > 20, holds(b)) == (True, [("a.1", "first")])


def test_a_greeting_is_not_held_any_longer_than_somebody_has_the_name() -> None:
    b, wire = held_on_a_dialled_connection()
    wire.tell(b, link_events=[(wire.connections[0].routing_id, "disconnected", "the connection was closed")])
    assert (b.links.idle_ms(b.now, 500) > 20, holds(b)) == (True, [("a.1", "again")])


@pytest.mark.parametrize(
    ("linked", "greeted"),
    [("a", ["a over c", "x over c"]), ("ax", ["a over c", "x over c"]), ("ax", ["x over d", "a over c", "x over c"])],
)
def test_of_greetings_in_several_names_over_one_connection_the_last_one_counts(linked: str, greeted: list[str]) -> None:
    b = LinksAlone("b")
    hello = {"t": "hello", "protocol": 1, "life": "first"}
    for name in linked:
        b.turn(links=[(name.encode(), control({**hello, "name": name, "origin": f"{name}.1"}))])
    for each in greeted:
        name, _, key = each.split()
        again = {"name": name, "origin": f"{name}.1", "life": "again", "incarnation": 1}
        b.turn(links=[(key.encode(), control({**hello, **again}))])
    b.turn(later_s=3)
    assert holds(b) == [("a.1", "first"), ("x.1", "again")]


def test_a_malformed_greeting_in_this_nodes_own_name_ends_no_link_unheard(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    link = bench.peer("b", "A")
    hello = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.9", "life": "again", "addresses": 5}
    bench.turn(links=[(link, control(hello))])
    assert (bench.links.up(), bench.node.counts["malformed control"]) == ({link}, 1)
    bench.turn(link_events=[(link, "disconnected", "gone")])
    assert bench.state.interest.links_wanting("A") == ()
