"""Interest that goes further than one link: leaves, their peers, carriers. Whole nodes over a wire in memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mesh.requests import unpack_control
from node.answering import ANSWER_WAIT_S
from node.comparing import EVERY_S
from node.interest import Lists
from node.link import Link
from node.telling import RETELL_S
from tests.node.wire import Connection, Wire
from tests.node.workbench import Author, Bench, Program, answer, control, live, sent, values


class Town:
    """Nodes by name, joined as a test says; `got` holds what each node gave to its programs, in order.

    `replies` counts its answers to them, `talk` what all nodes say to each other, by kind.
    """

    def __init__(self, path: Path, peers: str, leaves: str = "") -> None:
        self.path = path
        self.nodes = {name: Bench(path, name) for name in peers}
        self.nodes |= {name: Bench(path, name, role="leaf") for name in leaves}
        self.wire = Wire(*self.nodes.values())
        self.got: dict[str, list[object]] = {name: [] for name in self.nodes}
        self.replies = dict.fromkeys(self.nodes, 0)
        self.talk: Counter[str] = Counter()
        self.programs: dict[str, Program] = {}
        self.authors: dict[str, Author] = {}
        for name, node in self.nodes.items():
            self._watch(name, node)

    def _watch(self, name: str, node: Bench) -> None:
        turn_of = node.turn

        def turn(*args: object, **fields: object) -> object:
            turn = turn_of(*args, **fields)  # type: ignore[arg-type]
            self.replies[name] += len(turn.replies)
            self.got[name] += [value for frame in live(turn) for value in values(frame)]
            self.talk.update(each["t"] for link in node.links.links for each in sent(turn, link))
            return turn

        node.turn = turn  # type: ignore[assignment, method-assign]
        self.programs[name] = Program(node, f"at {name}")
        self.programs[name].attach()
        self.authors[name] = Author(name)
        node.greet(self.authors[name])

    def link(self, dialler: str, acceptor: str) -> Connection:
        """One node dials another."""
        made = self.wire.dial(dialler, f"tcp://{acceptor}")
        self.wire.settle()
        return made

    def subscribe(self, name: str, pattern: str = "A", durable: bool = False) -> int:
        """Subscribe at a node, with all that follows from it."""
        sub, request = self.programs[name].subscribing(f"{name}-{pattern}", pattern, durable=durable)
        node = self.nodes[name]
        self.wire.send(node, node.turn(requests=[request], subscriptions=[self.programs[name].marker(sub)]))
        self.wire.settle()
        self.wire.run(0.5, 0.1)
        return sub

    def publish(self, name: str, *payloads: object, topic: str = "A") -> None:
        """Publish at a node, and let it travel."""
        node = self.nodes[name]
        self.wire.send(node, node.turn(self.authors[name].frame(topic, *payloads)))
        self.wire.settle()

    def received(self, name: str) -> list[object]:
        """What a node's programs were given since this was last asked."""
        found, self.got[name] = self.got[name], []
        return found


def star(path: Path) -> Town:
    """Two peers p and q, and two leaves l and m that dial both."""
    town = Town(path, "pq", "lm")
    town.link("p", "q")
    for leaf in "lm":
        for peer in "pq":
            town.link(leaf, peer)
    return town


@pytest.mark.parametrize("origin", "pqlm")
def test_an_event_reaches_every_subscriber_once_wherever_it_enters(tmp_path: Path, origin: str) -> None:
    town = star(tmp_path)
    for name in "pqlm":
        town.subscribe(name)
    town.publish(origin, 1, 2)
    assert {name: town.received(name) for name in "pqlm"} == {name: [1, 2] for name in "pqlm"}


def test_after_the_last_unsubscription_nothing_is_forwarded(tmp_path: Path) -> None:
    town = star(tmp_path)
    subs = {name: town.subscribe(name) for name in "qlm"}
    for name, sub in subs.items():
        node = town.nodes[name]
        town.wire.send(node, node.turn(requests=[town.programs[name].request("unsubscribe", sub=sub)]))
        town.wire.run(0.3, 0.1)
    before = {name: [link.sent for link in node.links.links.values()] for name, node in town.nodes.items()}
    for name in "pqlm":
        town.publish(name, name)
    assert {name: [link.sent for link in node.links.links.values()] for name, node in town.nodes.items()} == before
    assert all(town.received(name) == ([]) for name in "pqlm")


def test_a_leafs_own_wish_is_no_reason_to_send_its_events_away(tmp_path: Path) -> None:
    town = star(tmp_path)
    town.subscribe("l")
    town.publish("l", 1)
    assert town.received("l") == [1]
    assert [link.sent for link in town.nodes["l"].links.links.values()] == [0, 0]


def test_a_subscription_at_a_leaf_waits_until_the_far_peer_knows_of_it(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    far = town.link("p", "q")
    town.link("l", "p")
    leaf, program = town.nodes["l"], town.programs["l"]
    sub, request = program.subscribing("c", "A")
    far.deaf = True
    turn = leaf.turn(requests=[request], subscriptions=[program.marker(sub)])
    town.wire.send(leaf, turn)
    town.wire.settle()
    assert turn.replies == []
    assert town.nodes["q"].state.interest.links_wanting("A") == ()
    assert leaf.turn(later_s=ANSWER_WAIT_S / 2).replies == []  # p has not answered: q has not
    town.wire.run(ANSWER_WAIT_S + 0.2, 0.1)
    assert leaf.state.informed != {}


def test_a_leaf_that_was_away_from_all_its_peers_misses_nothing(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    town.link("p", "q")
    line = town.link("l", "p")
    town.subscribe("l")
    town.publish("q", 1)
    town.wire.cut(line)
    town.publish("q", 2, 3)
    town.publish("p", 4, topic="A")
    town.wire.run(2.0)
    town.wire.connect("l", "tcp://p")
    town.wire.settle()
    town.publish("q", 5)
    town.wire.run(3.0)
    assert sorted(map(str, town.received("l"))) == ["1", "2", "3", "4", "5"]


def test_two_peers_that_do_not_reach_each_other_are_carried_for_and_let_go_again(tmp_path: Path) -> None:
    town = Town(tmp_path, "abc")
    town.link("a", "b")
    town.link("b", "c")
    town.subscribe("c")
    town.wire.run(8.0)
    town.publish("a", 1)
    assert (town.received("c"), town.received("b")) == ([1], [])
    direct = town.link("a", "c")
    town.wire.run(3.0)
    carrier = town.nodes["b"].links.links.values()
    before = [link.sent for link in carrier]
    town.publish("a", 2)
    assert town.received("c") == [2]
    assert [link.sent for link in carrier] == before
    town.wire.cut(direct)
    town.publish("a", 3)
    town.wire.run(12.0)
    town.publish("a", 4)
    town.wire.run(3.0)
    assert town.received("c") == [3, 4]


def ring(path: Path) -> Town:
    """Peers a, p, q and r in a ring: a asks p to carry q, and p asks q to carry r. l is a leaf of r."""
    town = Town(path, "apqr", "l")
    for dialler, acceptor in ("ap", "pq", "qr", "ra", "lr"):
        town.link(dialler, acceptor)
    town.wire.run(8.0)
    assert (carrying(town, "a", "p"), carrying(town, "p", "q")) == (("q",), ("r",))
    return town


def link_of(town: Town, name: str, other: str) -> Link:
    """A node's link to another."""
    return next(link for link in town.nodes[name].node.links.links.values() if link.name == other)


def carrying(town: Town, asker: str, carrier: str) -> tuple[str, ...]:
    """Whom one node asks another to carry."""
    return town.nodes[asker].node._neighbours.spreading.carry[link_of(town, asker, carrier).key]


def believed(town: Town, name: str, of: str) -> Lists:
    """What a node believes that another wants."""
    return town.nodes[name].state.interest.of(link_of(town, name, of).key)


def test_a_detour_leads_over_one_peer_and_never_over_two(tmp_path: Path) -> None:
    town = ring(tmp_path)
    town.subscribe("a", "A")
    town.subscribe("p", "P")
    assert believed(town, "q", of="p") == {"a": ("A",), "p": ("P",)}
    assert believed(town, "r", of="q") == {"p": ("P",)}
    for number, name in enumerate("qrl"):
        town.publish(name, number, topic="A")
        town.publish(name, number, topic="P")
    assert (town.received("a"), town.received("p")) == ([0, 1, 2], [0, 1, 2])
    assert town.nodes["a"].node.counts["repeated"] == 0


def test_a_wish_that_has_ended_does_not_go_round_in_a_ring_of_carriers(tmp_path: Path) -> None:
    town = Town(tmp_path, "abdgn")
    for dialler, acceptor in ("ab", "bd", "dg", "ga", "na"):
        town.link(dialler, acceptor)
    town.wire.run(8.0)
    for asker, carrier, member in ("abd", "bdg", "dga", "gab"):
        assert member in carrying(town, asker, carrier)
    sub, node = town.subscribe("n"), town.nodes["n"]
    town.wire.run(1.0)
    assert believed(town, "g", of="a") == {"n": ("A",)}
    town.wire.send(node, node.turn(requests=[town.programs["n"].request("unsubscribe", sub=sub)]))
    town.wire.run(3.0)
    assert not any(
        town.nodes[name].state.interest.of(link) for name in "abdg" for link in town.nodes[name].node.links.links
    )


def test_an_origin_knows_nothing_of_what_it_is_not_told_because_of_a_detour(tmp_path: Path) -> None:
    town = ring(tmp_path)
    town.subscribe("a", "A")
    town.subscribe("p", "P")
    knows = town.nodes["p"].node._neighbours._wanting.before
    origins = {name: town.nodes[name].origin for name in "qrl"}
    assert {name: [knows(origin, topic) for topic in "AP"] for name, origin in origins.items()} == {
        "q": [True, True],
        "r": [False, True],
        "l": [False, True],
    }


def test_a_leaf_that_comes_nearer_takes_a_detour_no_longer(tmp_path: Path) -> None:
    town = ring(tmp_path)
    town.subscribe("p", "P")
    heard, to_q = town.nodes["p"].node._neighbours.routes.heard, link_of(town, "p", "q").key
    assert heard.detoured(to_q) == {town.nodes["r"].origin, town.nodes["l"].origin}
    town.link("l", "q")
    town.wire.run(1.0)
    assert heard.detoured(to_q) == {town.nodes["r"].origin}
    town.subscribe("a", "A")
    town.publish("l", 1)
    assert town.received("a") == [1]


def test_an_answer_is_given_again_when_those_it_waited_for_have_answered(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    far = town.link("p", "q")
    town.link("l", "p")
    town.publish("q", "old")
    far.deaf = True
    leaf, program = town.nodes["l"], town.programs["l"]
    sub, request = program.subscribing("c", "A")
    town.wire.send(leaf, leaf.turn(requests=[request], subscriptions=[program.marker(sub)]))
    town.wire.settle()
    before = town.replies["l"]
    town.wire.run(ANSWER_WAIT_S + 0.5, 0.1)
    assert town.replies["l"] == before + 1
    town.wire.cut(far)
    town.wire.connect("p", "tcp://q")
    town.wire.settle()
    town.wire.run(1.0, 0.1)
    town.publish("q", "new")
    assert town.received("l") == ["new"]


@pytest.mark.parametrize("first", "pq")
def test_a_peer_that_a_leaf_has_left_says_that_it_speaks_for_it_no_longer(tmp_path: Path, first: str) -> None:
    town = Town(tmp_path, "pq", "lm")
    lines = {}
    for dialler, acceptor in ("pq", "lp", "lq", "mp", "mq"):
        lines[dialler + acceptor] = town.link(dialler, acceptor)
    town.subscribe("p")
    town.subscribe("m", "B")
    town.publish("l", 1)
    heard = {name: town.nodes[name].node._neighbours.routes.heard for name in "pqm"}
    leaf, second = town.nodes["l"].origin, "q" if first == "p" else "p"
    town.wire.cut(lines["l" + first])
    town.wire.run(12.0)
    assert heard[second].ways(leaf) == [link_of(town, second, "l").key]
    assert heard[first].ways(leaf) == [link_of(town, first, second).key]
    assert heard["m"].ways(leaf) == ["tcp://p", "tcp://q"]
    town.wire.cut(lines["l" + second])
    town.wire.run(12.0)
    assert [heard[name].ways(leaf) for name in "pqm"] == [[], [], []]


def test_after_a_leaf_has_left_one_of_its_peers_nobody_differs(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    for dialler, acceptor in ("pq", "lp"):
        town.link(dialler, acceptor)
    line = town.link("l", "q")
    town.subscribe("p")
    town.publish("l", 1)
    town.wire.cut(line)
    town.publish("l", 2)
    town.wire.run(2.0)
    town.talk.clear()
    town.wire.run(3 * EVERY_S)
    assert (town.received("p"), town.talk["digest"] > 0, town.talk["heads"]) == ([1, 2], True, 0)


def test_what_a_peer_has_of_an_origin_that_is_gone_reaches_its_leaf(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    far, line = town.link("p", "q"), town.link("l", "p")
    town.subscribe("l")
    town.publish("q", 1)
    line.deaf = True
    town.publish("q", 2)
    town.wire.cut(far)
    town.wire.cut(line)
    town.wire.connect("l", "tcp://p")
    town.wire.run(2 * EVERY_S)
    assert town.received("l") == [1, 2]
    town.talk.clear()
    town.wire.run(3 * EVERY_S)
    assert (town.talk["digest"] > 0, town.talk["heads"]) == (True, 0)


def test_of_an_origin_that_was_gone_before_anybody_at_a_leaf_wanted_it_nothing_is_owed(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    far = town.link("p", "q")
    town.link("l", "p")
    town.subscribe("p")
    town.publish("q", 1)
    town.wire.cut(far)
    town.subscribe("l")
    town.publish("l", 2)
    town.wire.run(2 * EVERY_S)
    town.talk.clear()
    town.wire.run(3 * EVERY_S)
    assert (town.received("l"), town.received("p"), town.talk["heads"]) == ([2], [1, 2], 0)


def test_unknown_words_of_an_interest_are_passed_over_and_wrong_ones_counted(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq")
    line = town.link("p", "q")
    node = town.nodes["q"]
    node.turn(
        links=[
            (line.routing_id, b'\x00{"t":"interest","version":99999999999,"lists":{"p":["A"]},"whole":true,"new":1}')
        ]
    )
    assert node.state.interest.of(line.routing_id) == {"p": ("A",)}
    for bad in (b'{"t":"interest"}', b'{"t":"interest","version":1,"lists":[],"whole":true}', b'{"t":"want","id":1}'):
        node.turn(links=[(line.routing_id, b"\x00" + bad)])
    assert node.node.counts["malformed control"] == 3
    assert sent(node.turn(), line.routing_id) == []
    assert answer(node.turn(requests=[node.request("peers")]))["ok"]


def test_an_announcement_that_is_not_answered_is_made_again_as_a_whole(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq")
    line = town.link("p", "q")
    line.deaf = True
    town.subscribe("p")
    assert town.nodes["q"].state.interest.links_wanting("A") == ()
    line.deaf = False
    town.wire.run(RETELL_S + 0.5, 0.1)
    assert town.nodes["q"].state.interest.links_wanting("A") == (line.routing_id,)
    town.publish("q", 1)
    assert town.received("p") == [1]


def test_a_change_that_follows_on_one_that_did_not_arrive_is_not_taken(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq")
    line = town.link("p", "q")
    node = town.nodes["q"]
    change = {"t": "interest", "version": 9, "after": 8, "lists": {"p": ["B"]}, "whole": False}
    node.turn(links=[(line.routing_id, control(change))])
    assert node.state.interest.of(line.routing_id) == {}


@pytest.mark.parametrize("life", ["this life", "the former life", "a life of which no disk knows"])
def test_lists_that_come_late_over_a_connection_that_is_gone_do_not_replace_later_ones(
    tmp_path: Path, life: str
) -> None:
    town = Town(tmp_path, "pq")
    line = town.link("q", "p")
    town.subscribe("p", "A")
    key, told = line.address, town.nodes["p"].node._neighbours.spreading._telling.told[line.routing_id]
    late = {"t": "interest", "version": told.version, "after": 0, "lists": {"p": ["A"]}, "whole": True}
    late["life"] = town.nodes["p"].life
    if life != "this life":
        town.nodes["p"].restart() if life == "the former life" else town.nodes["p"].lose_disk()
        town.wire.replace(town.nodes["p"])
        town.wire.connect("q", "tcp://p")
        town.wire.settle()
    else:
        sub, node = 1, town.nodes["p"]
        town.wire.send(node, node.turn(requests=[town.programs["p"].request("unsubscribe", sub=sub)]))
        town.wire.settle()
    assert town.nodes["q"].state.interest.of(key) == {}
    town.nodes["q"].turn(links=[(key, control(late))])
    assert town.nodes["q"].state.interest.of(key) == {}


@pytest.mark.parametrize("lost_disk", [False, True])
def test_what_a_former_life_said_and_is_read_behind_the_next_connection_gives_way(
    tmp_path: Path, lost_disk: bool
) -> None:
    town = Town(tmp_path, "pq")
    town.subscribe("p", "A")
    line = town.wire.dial("q", "tcp://p")
    town.wire.deliver(line, to_acceptor=True)
    late = list(line.to_dialler)
    town.nodes["p"].life = "again"
    town.nodes["p"].lose_disk() if lost_disk else town.nodes["p"].restart()
    town.wire.replace(town.nodes["p"])
    town.wire.connect("q", "tcp://p")
    town.wire.tell(town.nodes["q"], links=[(line.address, data) for data in late])
    assert town.nodes["q"].state.interest.of(line.address) == {"p": ("A",)}
    town.wire.run(8)
    assert town.nodes["q"].state.interest.of(line.address) == {}
    assert town.nodes["q"].links.links[line.address].life == town.nodes["p"].life


def test_a_leaf_is_asked_to_bring_nothing_but_its_own_events(tmp_path: Path) -> None:
    town = Town(tmp_path, "pq", "l")
    line = town.link("p", "q")
    town.subscribe("p", durable=True)
    town.publish("q", 1)
    town.wire.cut(line)
    town.wire.run(1.0)
    connection = town.wire.dial("l", "tcp://p")
    town.wire.deliver(connection, to_acceptor=True)
    told = [unpack_control(data[1:]) for data in connection.to_dialler]
    assert [each["heads"] for each in told if each["t"] == "interest"] == [[]]
