"""Whom a node dials, under virtual time: seeds, members, leaves, pauses."""

from __future__ import annotations

import itertools

import pytest

from node.dialling import Dialling
from node.facts import Fact
from node.link import Link, LinkState, Role
from node.members import Members
from node.suspicion import knobs

S = 1_000_000


class Dialler:
    """A node called `m` and its connections, as the sockets would make them."""

    def __init__(self, *seeds: str, role: Role = "peer", draw: float = 0.0) -> None:
        limits = knobs(1.0, 10.0)
        self.members = Members(Fact("m", "m.1", role=role), limits)
        self.rule = Dialling(role, seeds, limits, lambda: draw)
        self.links: dict[str | bytes, Link] = {}
        self.now_us = 0

    def knows(self, *names: str, role: Role = "peer") -> None:
        for name in names:
            self.members.learn(Fact(name, f"{name}.1", role=role, addresses=(f"tcp://{name}:1", f"tcp://{name}:2")), 0)

    def link(self, key: str | bytes, name: str, state: LinkState = "up", **fields: object) -> None:
        self.links[key] = Link(key, str(key), state=state, name=name, origin=f"{name}.1")
        for field, value in fields.items():
            setattr(self.links[key], field, value)

    def beat(self, later_s: float = 1.0) -> tuple[list[str], list[str]]:
        """One decision, carried out; what to dial and what to let go of."""
        self.now_us += int(later_s * S)
        dial, undial = self.rule.decide(self.members, self.links, self.now_us)
        for address in undial:
            del self.links[address]
        for address in dial:
            self.links[address] = Link(address, address, dialled_at=address)
        return dial, undial

    def run(self, seconds: int) -> list[str]:
        """What is dialled within that time."""
        return [address for _ in range(seconds) for address in self.beat()[0]]


def test_all_seeds_are_dialled_at_once_and_stay_dialled() -> None:
    m = Dialler("tcp://a:1", "tcp://b:1")
    assert m.beat() == (["tcp://a:1", "tcp://b:1"], [])
    assert m.run(100) == []
    assert set(m.links) == {"tcp://a:1", "tcp://b:1"}


def test_a_seed_that_is_this_node_is_let_go_of_and_tried_again_after_an_hour_for_addresses_move() -> None:
    m = Dialler("tcp://m:1")
    m.beat()
    for _ in range(2):
        m.link("tcp://m:1", "m", "refused", refused="self")
        assert m.beat() == ([], ["tcp://m:1"])
        assert m.run(3599) == []
        assert m.beat() == (["tcp://m:1"], [])
    m.link("tcp://m:1", "z")
    assert (m.run(100), set(m.links)) == ([], {"tcp://m:1"})


def test_a_members_address_that_was_this_nodes_own_is_tried_again_after_an_hour() -> None:
    m = Dialler()
    m.members.learn(Fact("z", "z.1", addresses=("tcp://m:1",)), 0)
    assert m.beat() == (["tcp://m:1"], [])
    m.link("tcp://m:1", "m", "refused", refused="self")
    assert m.beat() == ([], ["tcp://m:1"])
    assert (m.run(3599), m.beat()[0]) == ([], ["tcp://m:1"])


def test_of_very_many_addresses_that_are_this_node_the_oldest_are_forgotten() -> None:
    seeds = [f"tcp://m:{port}" for port in range(1, 301)]
    m = Dialler(*seeds)
    m.beat()
    for seed in seeds:
        m.link(seed, "m", "refused", refused="self")
    assert m.beat() == (seeds[:44], seeds)


def test_the_lower_name_dials_at_once() -> None:
    m = Dialler()
    m.knows("z")
    assert m.beat()[0] == ["tcp://z:1"]


def test_the_higher_name_dials_only_when_no_link_came_within_the_grace_period() -> None:
    m = Dialler()
    m.knows("a")
    assert m.run(4) == []
    assert m.beat()[0] == ["tcp://a:1"]


def test_who_is_linked_by_its_own_dialling_is_not_dialled() -> None:
    m = Dialler()
    m.knows("a", "z")
    m.link(b"c1", "z")
    m.link(b"c2", "a")
    assert m.run(100) == []


def test_an_attempt_has_its_time_and_the_next_address_follows_after_a_pause() -> None:
    m = Dialler()
    m.knows("z")
    assert m.beat() == (["tcp://z:1"], [])
    assert [m.beat() for _ in range(10)] == [([], [])] * 10
    assert m.beat() == ([], ["tcp://z:1"])
    assert m.beat() == (["tcp://z:2"], [])


@pytest.mark.parametrize(("draw", "pauses"), [(0.0, [1, 1, 2, 4, 8, 15, 15]), (0.99, [1, 2, 4, 8, 16, 30, 30])])
def test_pauses_double_up_to_half_a_minute_and_are_jittered(draw: float, pauses: list[int]) -> None:
    m = Dialler(draw=draw)
    m.knows("z")
    dialled = []
    while len(dialled) <= len(pauses):
        dialled += [m.now_us // S for _ in m.beat()[0]]
    attempt_s = 11
    assert [after - before - attempt_s for before, after in itertools.pairwise(dialled)] == pauses


def test_who_left_is_dialled_no_more_until_it_is_back() -> None:
    m = Dialler()
    m.knows("z")
    m.beat()
    m.members.learn(Fact("z", "z.1", status="left"), 0)
    assert m.beat() == ([], ["tcp://z:1"])
    assert m.run(100) == []
    m.members.learn(Fact("z", "z.1", incarnation=1, addresses=("tcp://z:3",)), 0)
    assert m.beat()[0] == ["tcp://z:3"]


def test_who_has_become_a_leaf_is_dialled_no_more() -> None:
    m = Dialler()
    m.knows("z")
    m.beat()
    m.members.learn(Fact("z", "z.1", incarnation=1, role="leaf"), 0)
    assert m.beat() == ([], ["tcp://z:1"])
    assert (m.run(100), m.links) == ([], {})


def test_a_connection_that_was_opened_for_a_member_goes_when_the_member_dialled_itself() -> None:
    m = Dialler()
    m.knows("z")
    m.beat()
    m.link(b"c1", "z")
    assert m.beat() == ([], ["tcp://z:1"])


def test_a_spare_rests_and_its_seed_is_dialled_again_when_the_link_goes() -> None:
    m = Dialler("tcp://z:1")
    m.beat()
    m.link("tcp://z:1", "z", "spare")
    m.link(b"c1", "z")
    assert [m.beat() for _ in range(11)] == [([], [])] * 11
    assert m.beat() == ([], ["tcp://z:1"])
    assert m.run(100) == []
    del m.links[b"c1"]
    assert m.beat() == (["tcp://z:1"], [])


def test_an_address_that_is_a_spare_again_is_one_for_as_long_as_at_first() -> None:
    m = Dialler()
    m.knows("z")
    for _ in range(2):
        m.beat()
        m.link(b"c1", "z")
        m.link("tcp://z:1", "z", "spare")
        assert [m.beat() for _ in range(11)] == [([], [])] * 11
        assert m.beat() == ([], ["tcp://z:1"])
        del m.links[b"c1"]


@pytest.mark.parametrize(("draw", "pauses"), [(0.0, [1, 1, 2, 4, 8, 15, 15]), (0.99, [1, 2, 4, 8, 16, 30, 30])])
def test_a_seed_for_which_no_socket_can_be_made_is_dialled_again_after_pauses_that_double(
    draw: float, pauses: list[int]
) -> None:
    m = Dialler("tcp://a:1", "tcp://z:1", draw=draw)
    dialled = []
    while len(dialled) <= len(pauses):
        dialled += [m.now_us // S for address in m.beat()[0] if address == "tcp://z:1"]
        m.links["tcp://z:1"].unmade = True
    seen_s = 1
    assert [after - before - seen_s for before, after in itertools.pairwise(dialled)] == pauses
    m.links["tcp://z:1"].unmade = False
    assert m.run(100) == []
    m.links["tcp://z:1"].unmade = True
    assert m.run(3)[:1] == ["tcp://z:1"]


def test_a_seed_without_a_socket_that_is_a_members_address_is_dialled_once_at_a_time() -> None:
    m = Dialler("tcp://z:1")
    m.beat()
    m.links["tcp://z:1"].unmade = True
    m.knows("z")
    dialled = [m.beat()[0] for _ in range(30)]
    assert max(each.count("tcp://z:1") for each in dialled) == 1


def test_a_member_behind_a_seed_is_not_dialled_twice() -> None:
    m = Dialler("tcp://z:2")
    m.knows("z")
    assert m.run(10) == ["tcp://z:2"]
    m.link("tcp://z:2", "z")
    assert m.run(60) == []


@pytest.mark.parametrize("role", ["peer", "leaf"])
def test_a_member_that_is_not_reached_at_a_seed_is_dialled_at_its_other_addresses(role: Role) -> None:
    m = Dialler("tcp://z:2", role=role)
    m.beat()
    m.knows("z")
    assert m.run(12) == []
    assert m.beat() == (["tcp://z:1"], [])
    assert set(m.links) == {"tcp://z:1", "tcp://z:2"}
    m.link("tcp://z:1", "z")
    assert (m.run(100), set(m.links)) == ([], {"tcp://z:1", "tcp://z:2"})


def test_seeds_where_nobody_answers_take_no_turn_from_the_peers_of_a_leaf() -> None:
    m = Dialler("tcp://x:1", "tcp://y:1", "tcp://z:1", role="leaf")
    m.beat()
    m.knows("x", "y", "z", "p")
    assert m.beat()[0] == ["tcp://p:1"]


def test_a_lost_link_is_made_again_by_the_connection_that_is_there() -> None:
    m = Dialler()
    m.knows("z")
    m.beat()
    m.link("tcp://z:1", "z")
    m.run(20)
    m.links["tcp://z:1"].state = "down"
    assert [m.beat() for _ in range(11)] == [([], [])] * 11
    assert m.beat() == ([], ["tcp://z:1"])


def test_a_lost_link_is_first_tried_where_it_was() -> None:
    m = Dialler()
    m.knows("z")
    m.run(13)
    m.link("tcp://z:2", "z")
    m.run(20)
    m.links["tcp://z:2"].state = "down"
    assert [m.beat() for _ in range(11)] == [([], [])] * 11
    assert m.beat() == ([], ["tcp://z:2"])
    assert m.beat() == (["tcp://z:1"], [])


def test_a_leaf_dials_three_peers_and_another_when_one_is_lost() -> None:
    leaf = Dialler(role="leaf", draw=0.5)
    leaf.knows("a", "b", "c", "d", "e")
    assert leaf.beat()[0] == ["tcp://c:1", "tcp://d:1", "tcp://e:1"]
    for name in "cde":
        leaf.link(f"tcp://{name}:1", name)
    assert leaf.run(50) == []
    leaf.links["tcp://d:1"].state = "down"
    assert len(leaf.beat()[0]) <= 1
    assert {"tcp://a:1", "tcp://b:1"} & set(leaf.run(30))


def test_nobody_dials_a_leaf() -> None:
    m = Dialler()
    m.knows("z", role="leaf")
    assert m.run(100) == []


@pytest.mark.parametrize(("age_s", "dialled"), [(60, ["tcp://z:2"]), (3, []), (None, [])])
def test_of_two_that_go_by_one_name_the_elder_is_dialled_though_the_other_is_linked(
    age_s: int | None, dialled: list[str]
) -> None:
    m = Dialler()
    m.link("in", "z")
    m.members.linked(Fact("z", "z.1"), 0, began_us=-30 * S)
    began_us = None if age_s is None else -age_s * S
    m.members.learn(Fact("z", "z.2", addresses=("tcp://z:2",)), 0, began_us=began_us)
    assert m.run(3) == dialled
