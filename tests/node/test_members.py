"""The table of members: any order of facts gives one table, and only a link of its own makes a member alive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.facts import STATUSES, Fact
from node.members import Members
from node.rivals import ASKS_WITHIN_S
from node.suspicion import knobs

S = 1_000_000
ME = Fact("me", "me.1", incarnation=3)
B = Fact("b", "b.1", incarnation=1, addresses=("tcp://b:1",))


def table(members_max: int = 1024) -> Members:
    return Members(ME, knobs(1.0, 10.0), members_max)


def states(members: Members, at_s: float) -> dict[str, str]:
    return {origin: members.state(row, int(at_s * S)) for origin, row in members.rows.items()}


facts = st.builds(
    lambda name, generation, incarnation, sequence, status, port: Fact(
        name, f"{name}.{generation}", incarnation, sequence, status, addresses=(f"tcp://{name}:{port}",)
    ),
    st.sampled_from("bcd"),
    st.sampled_from("12"),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(STATUSES),
    st.integers(1, 3),
)


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(facts, max_size=12), st.randoms())
def test_any_order_and_duplication_of_facts_ends_in_one_table(heard: list[Fact], random: object) -> None:
    shuffled = [*heard, *heard[::2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = table(), table()
    for fact in heard:
        first.learn(fact, 0)
    for fact in shuffled:
        second.learn(fact, 0)
    assert {row.fact for row in first.rows.values()} == {row.fact for row in second.rows.values()}
    assert set(first.facts()) == set(second.facts())


@given(st.lists(facts, max_size=8), st.lists(facts, max_size=8))
def test_no_old_fact_brings_back_who_is_forgotten(before: list[Fact], after: list[Fact]) -> None:
    members = table()
    for fact in before:
        members.learn(fact, 0)
    last = {origin: row.fact for origin, row in members.rows.items() if row.fact.status != "here"}
    members.judge(3601 * S)
    assert not last.keys() & members.rows.keys()
    for fact in [*before, *after]:
        members.learn(fact, 3602 * S)
    back = {origin: members.rows[origin].fact for origin in last.keys() & members.rows.keys()}
    assert all(fact.stamp > last[origin].stamp for origin, fact in back.items())
    assert back.keys() == {
        fact.origin for fact in after if fact.origin in last and fact.stamp > last[fact.origin].stamp
    }


def test_a_death_beats_the_same_incarnation_and_a_higher_one_beats_the_death() -> None:
    members = table()
    members.learn(B, 0)
    assert members.learn(B._replace(status="dead"), 0)
    assert not members.learn(B._replace(sequence=7), 0)
    assert states(members, 0) == {"b.1": "dead"}
    assert members.learn(B._replace(incarnation=2), 0)
    assert states(members, 0) == {"b.1": "known"}


def test_hearsay_gives_an_address_and_never_life() -> None:
    members = table()
    members.learn(B, 0)
    members.learn(B._replace(incarnation=9), 1)
    assert states(members, 0) == {"b.1": "known"}
    assert members.rows["b.1"].fact.addresses == ("tcp://b:1",)


def test_what_was_news_is_asked_for_once() -> None:
    members = table()
    members.learn(B, 0)
    members.learn(B, 0)
    assert (members.take_changed(), members.take_changed()) == (["b.1"], [])


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_member_is_alive_by_its_link_then_suspect_dead_and_forgotten_by_silence() -> None:
    members = table()
    members.linked(B, 0)
    assert states(members, 1) == {"b.1": "alive"}
    assert states(members, 6) == {"b.1": "suspect"}
    members.unlinked("b.1", "the connection was closed")
    members.judge(10 * S)
    assert states(members, 10) == {"b.1": "suspect"}
    members.judge(10 * S + 1)
    assert states(members, 10.1) == {"b.1": "dead"}
    assert members.rows["b.1"].reason == "the connection was closed"
    members.judge(3610 * S + 1)
    assert states(members, 3610.1) == {"b.1": "dead"}
    members.judge(3610 * S + 2)
    assert states(members, 3610.2) == {}


def test_who_says_goodbye_left_and_is_not_called_dead() -> None:
    members = table()
    members.linked(B, 0)
    members.left("b.1", S)
    members.judge(100 * S)
    assert states(members, 100) == {"b.1": "left"}


def test_a_node_that_was_stopped_itself_accuses_nobody_until_it_has_listened_again() -> None:
    members = table()
    members.linked(B, 0)
    members.unlinked("b.1", "gone")
    members.pardon(60 * S)
    members.judge(70 * S)
    assert states(members, 70) == {"b.1": "suspect"}
    members.judge(70 * S + 1)
    assert states(members, 71) == {"b.1": "dead"}


@pytest.mark.parametrize("incarnation", [1, 3])
def test_who_is_linked_after_it_was_forgotten_is_held_as_it_was_until_it_contradicts(incarnation: int) -> None:
    members = table()
    members.learn(Fact("b", "b.1", 3, status="dead"), 0)
    members.judge(3601 * S)
    assert not members.rows
    members.linked(Fact("b", "b.1", incarnation, sequence=7), 3700 * S)
    assert states(members, 3700) == {"b.1": "alive"}
    assert members.rows["b.1"].fact.stamp == (3, 1, 0, "")
    members.learn(Fact("b", "b.1", 4), 3701 * S)
    assert members.rows["b.1"].fact.status == "here"


def test_a_link_counts_more_than_hearsay_of_a_death() -> None:
    members = table()
    members.linked(B, 0)
    members.learn(B._replace(status="dead"), S)
    assert states(members, 1) == {"b.1": "alive"}


def test_the_former_self_of_a_node_that_lost_its_disk_is_dead_when_the_new_one_is_linked() -> None:
    members = table()
    members.linked(B, 0)
    members.unlinked("b.1", "the connection was closed")
    members.linked(B._replace(origin="b.2"), S)
    assert states(members, 1) == {"b.1": "dead", "b.2": "alive"}
    assert members.rows["b.1"].reason == "b.2 is there in its place"


def test_two_that_are_linked_at_once_under_one_name_are_rivals() -> None:
    members = table()
    members.linked(B, 0)
    members.linked(B._replace(origin="b.2"), 0)
    assert [row.fact.origin for row in members.rivals("b")] == ["b.1", "b.2"]


def test_who_was_sent_away_for_another_of_its_name_is_not_called_dead() -> None:
    members = table()
    members.linked(B, 0, began_us=-5 * S)
    members.unlinked("b.1", "two nodes are called 'b'", yields=True)
    members.linked(B._replace(origin="b.2"), S, began_us=-60 * S)
    members.judge(60 * S)
    assert states(members, 2) == {"b.1": "known", "b.2": "alive"}
    assert (members.outranks(members.rows["b.2"], "b.1"), members.outranks(members.rows["b.1"], "b.2")) == (True, False)


def test_who_was_sent_away_and_asks_again_is_dead_when_it_asks_no_more() -> None:
    members = table()
    members.linked(B, 0)
    members.unlinked("b.1", "two nodes are called 'b'", yields=True)
    members.linked(B._replace(origin="b.2"), S)
    for at_s in (3, 5, 50):
        members.judge(at_s * S)
        members.asked(B, at_s * S)
    silent_s = 10 + ASKS_WITHIN_S
    members.judge(int((50 + silent_s) * S))
    assert states(members, 51)["b.1"] == "known"
    members.judge(int((50 + silent_s) * S) + 1)
    assert (states(members, 51)["b.1"], members.rows["b.1"].reason) == (
        "dead",
        "it was refused for its name, and asks no more",
    )


def test_who_is_called_dead_and_asks_elsewhere_is_there_again_when_it_has_contradicted() -> None:
    members = table()
    members.linked(B._replace(origin="b.2"), 0)
    members.learn(B._replace(status="dead"), 0)
    members.asked(B, S)
    assert states(members, 1)["b.1"] == "dead"
    members.asked(B._replace(incarnation=2), 2 * S)
    members.judge(30 * S)
    assert states(members, 2)["b.1"] == "known"


def test_an_age_belongs_to_a_life_and_is_unknown_for_the_next_until_that_says_its_own() -> None:
    members = table()
    members.learn(B._replace(life="x"), 0, began_us=-9 * S)
    members.learn(B._replace(life="x", sequence=1), 0)
    assert members.rows["b.1"].began_us == -9 * S
    members.learn(B._replace(life="y", incarnation=2), 0)
    assert members.rows["b.1"].began_us is None
    members.linked(B._replace(life="y", incarnation=2), 0, began_us=-S)
    assert members.rows["b.1"].began_us == -S


def test_another_life_of_this_very_incarnation_is_a_copy_and_a_former_one_is_not() -> None:
    members = Members(ME._replace(life="mine"), knobs(1.0, 10.0))
    for fact in (ME, ME._replace(life="mine"), ME._replace(life="former", incarnation=2)):
        members.learn(fact, 0)
    assert members.doubled == ""
    members.learn(ME._replace(life="copy"), 0)
    assert members.doubled == "copy"


def test_of_whom_no_word_has_come_for_an_hour_is_given_up() -> None:
    members = table()
    leaf = Fact("l", "l.1", role="leaf")
    members.learn(B, 0)
    members.learn(leaf, 0)
    members.learn(leaf._replace(sequence=1), 1800 * S)
    members.judge(3600 * S + 1)
    assert states(members, 3600) == {"b.1": "dead", "l.1": "known"}
    members.judge(5400 * S + 1)
    assert states(members, 5400) == {"b.1": "dead", "l.1": "dead"}


def test_who_has_spoken_to_others_since_its_link_ended_is_not_called_dead_by_its_former_neighbour() -> None:
    members = table()
    members.linked(B, 0)
    members.unlinked("b.1", "the connection was closed")
    members.learn(B._replace(sequence=1), S)
    members.judge(1000 * S)
    assert states(members, 1000) == {"b.1": "known"}


def test_who_contradicts_its_death_is_known_and_accused_again_only_after_another_link() -> None:
    members = table()
    members.linked(B, 0)
    members.unlinked("b.1", "the connection was closed")
    members.judge(11 * S)
    again = B._replace(incarnation=2)
    members.learn(again, 12 * S)
    members.judge(1000 * S)
    assert states(members, 1000) == {"b.1": "known"}
    members.linked(again, 1000 * S)
    members.unlinked("b.1", "the connection was closed")
    members.judge(1011 * S)
    assert states(members, 1011) == {"b.1": "dead"}


def test_who_got_the_last_word_over_a_link_is_its_witness() -> None:
    members = table()
    members.linked(B, 0)
    members.learn(B._replace(sequence=1), S)
    members.unlinked("b.1", "the connection was closed")
    members.learn(B._replace(sequence=1), 2 * S)
    members.judge(11 * S)
    assert states(members, 11) == {"b.1": "dead"}


# ── of this node itself ──────────────────────────────────────────────────────────────────────────────────────────────


def test_who_hears_of_its_own_death_contradicts_with_a_higher_incarnation() -> None:
    members = table()
    assert members.refutation is None
    members.learn(ME._replace(status="dead"), 0)
    assert (members.refutation, members.outrun_at, members.rows) == (4, -1, {})
    members.me = ME._replace(incarnation=4)
    assert members.refutation is None


def test_an_old_death_of_its_own_needs_no_answer() -> None:
    members = table()
    members.learn(ME._replace(incarnation=2, status="left"), 0)
    assert members.refutation is None


def test_who_is_known_with_a_higher_incarnation_than_its_own_is_outrun() -> None:
    members = table()
    members.learn(ME._replace(incarnation=5), 0)
    assert members.outrun_at == 5


@pytest.mark.parametrize("incarnation", [1 << 21, 1 << 32, 1 << 53])
def test_a_count_that_no_life_of_this_node_can_have_come_to_is_not_taken_over(incarnation: int) -> None:
    members = table()
    members.learn(members.me._replace(incarnation=incarnation, status="dead"), 0)
    assert (members.refutation, members.outrun_at, members.doubled) == (None, -1, "")


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_table_forgets_who_is_gone_for_longest_and_then_takes_nobody_in() -> None:
    members = table(members_max=2)
    members.learn(B, 0)
    members.learn(Fact("c", "c.1", status="dead"), 5 * S, gone_us=S)
    members.learn(Fact("d", "d.1"), 6 * S)
    members.learn(Fact("e", "e.1"), 7 * S)
    assert (set(members.rows), members.turned_away) == ({"b.1", "d.1"}, 1)
    assert not members.learn(Fact("c", "c.1"), 8 * S)
