"""Whom a node asks for what is missing, and when it accepts that it is lost. A whole node, its neighbours played."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import REPLAYED
from mesh.streams import Range
from node.facts import Fact
from node.repair import ANSWER_S, HEARSAY_S, PATIENCE_S, SETTLED_S, STALLED_S
from tests.node.workbench import Author, Bench, Json, Program, control, forwarded, live, sent, values

ORIGIN = "b.1"


class Receiver:
    """Node `a` with a consumer of A, linked with `b`, where events begin, and with `c`, who wants A too."""

    def __init__(self, path: Path) -> None:
        self.bench = Bench(path)
        self.program = Program(self.bench, "1")
        self.program.attach()
        self.b, self.c = self.bench.peer("b"), self.bench.peer("c", "A")
        self.author = Author("far")
        self.given: list[object] = []
        _, request = self.program.subscribing("c", "A")
        self.bench.turn(requests=[request], subscriptions=[self.program.marker(1)])
        for link, origin in ((self.b, ORIGIN), (self.c, "c.1")):
            ack = {"t": "interest_ack", "version": self.bench.announced[link], "origins": [origin], "heads": []}
            self.bench.turn(links=[(link, control(ack))])

    def arrives(self, first: int, *payloads: str, link: str = "", flags: int = 0) -> list[object]:
        """A frame of the origin comes; the values that go to the consumer by it."""
        frame = self.author.at(first, "A", *payloads)._replace(flags=flags)
        turn = self.bench.turn(links=[(link or self.b, forwarded(frame, ORIGIN, first))])
        self.said = turn
        return [value for each in live(turn) for value in values(each)]

    def hears(self, kind: str, link: str, **fields: object) -> None:
        """A neighbour says something."""
        self.said = self.bench.turn(links=[(link, control({"t": kind, **fields}))])

    def asks(self, later_s: float = 0.0) -> list[tuple[str, list[object]]]:
        """Whom the node asks for which ranges in this turn, or after a while."""
        turn = self.bench.turn(later_s=later_s) if later_s else self.said
        wants = [(link, said) for link in (self.b, self.c) for said in sent(turn, link) if said["t"] == "want"]
        self.wants: list[tuple[str, Json]] = wants
        return [(link, said["ranges"]) for link, said in wants]

    def answers(self, gone: list[object] | None = None, absent: list[object] | None = None) -> None:
        """The neighbour asked last has nothing (more)."""
        ((link, want),) = self.wants
        self.hears("served", link, id=want["id"], gone=gone or [], absent=absent or [])

    def asks_in_vain(self, seconds: float, later_s: float = 0.5, word: str = "absent") -> list[str]:
        """Time passes, and whoever is asked says after `later_s` that it was never there, or is gone; who was asked.

        What goes to the consumer meanwhile is in `given`.
        """
        links, asked, says = list(self.bench.links.up()), list[str](), list[tuple[str | bytes, bytes]]()
        ping = control({"t": "ping", "at": None, "used": True})
        for _ in range(int(seconds / later_s)):
            turn = self.bench.turn(links=[*says, *((link, ping) for link in links)], later_s=later_s)
            self.given += [value for frame in live(turn) for value in values(frame)]
            wants = [(link, said) for link in links for said in sent(turn, link) if said["t"] == "want"]
            asked += [str(link) for link, _ in wants]
            says = [
                (link, control({"t": "served", "id": said["id"], "gone": [], "absent": [], word: said["ranges"]}))
                for link, said in wants
            ]
        return asked

    def lacks_what_its_origin_let_go(self) -> None:
        """1 and 4 have come, and the origin has been asked for 2 and 3, and says that they are gone."""
        self.arrives(1, "x")
        self.arrives(4, "w")
        self.asks()
        self.answers(gone=[[ORIGIN, "A", 2, 3]])

    @property
    def missing(self) -> list[Range]:
        """What the node knows to be missing of the stream."""
        return self.bench.state.relay.missing(self.bench.state.relay.streams[ORIGIN, "A"])


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    return Receiver(tmp_path)


def test_a_gap_is_asked_of_the_origin_at_once_and_closed_in_order(receiver: Receiver) -> None:
    assert receiver.arrives(1, "x") == ["x"]
    assert receiver.arrives(4, "w") == []
    assert receiver.asks() == [(receiver.b, [[ORIGIN, "A", 2, 3]])]
    assert receiver.arrives(2, "y", "z", flags=REPLAYED) == ["y", "z", "w"]
    assert receiver.missing == []
    assert receiver.bench.links.links[receiver.b].repaired == 2


def test_an_unknown_stream_of_who_knew_the_interest_is_owed_from_its_first_event(receiver: Receiver) -> None:
    assert receiver.arrives(3, "z") == []
    assert receiver.asks() == [(receiver.b, [[ORIGIN, "A", 1, 2]])]


def test_a_beacon_shows_a_gap_where_no_event_follows(receiver: Receiver) -> None:
    receiver.arrives(1, "x")
    receiver.hears("beacon", receiver.b, heads=[[ORIGIN, "A", 2]])
    assert receiver.asks() == [(receiver.b, [[ORIGIN, "A", 2, 2]])]


def test_after_hearsay_the_event_itself_has_time_to_come(receiver: Receiver) -> None:
    receiver.arrives(1, "x")
    receiver.hears("heads", receiver.c, heads=[[ORIGIN, "A", 2]])
    assert receiver.asks() == []
    assert receiver.asks(HEARSAY_S - 0.1) == []
    assert receiver.asks(0.5) == [(receiver.b, [[ORIGIN, "A", 2, 2]])]


def test_who_does_not_answer_is_followed_by_the_next(receiver: Receiver) -> None:
    receiver.arrives(1, "x")
    receiver.arrives(3, "z")
    assert receiver.asks() == [(receiver.b, [[ORIGIN, "A", 2, 2]])]
    assert receiver.asks(ANSWER_S - 0.1) == []
    assert receiver.asks(0.5) == [(receiver.c, [[ORIGIN, "A", 2, 2]])]


def test_what_its_origin_has_let_go_is_asked_of_the_others_and_is_no_loss_where_one_has_it(receiver: Receiver) -> None:
    receiver.lacks_what_its_origin_let_go()
    assert receiver.asks() == [(receiver.c, [[ORIGIN, "A", 2, 3]])]
    assert receiver.arrives(2, "y", "z", link=receiver.c, flags=REPLAYED) == ["y", "z", "w"]
    assert receiver.bench.ask("audit")["lost_ranges"] == []


def test_what_its_origin_has_let_go_and_nobody_else_has_is_a_loss_and_the_stream_goes_on(receiver: Receiver) -> None:
    receiver.bench.turn(later_s=SETTLED_S)
    receiver.lacks_what_its_origin_let_go()
    receiver.asks()
    receiver.answers(absent=[[ORIGIN, "A", 2, 3]])
    assert [value for frame in live(receiver.said) for value in values(frame)] == ["w"]
    audit = receiver.bench.ask("audit")
    (row,) = (each for each in audit["streams"] if each["origin"] == ORIGIN)
    assert (row["missing"], row["lost"], row["balanced"]) == (2, 2, True)
    assert [(each["origin"], each["first"], each["last"]) for each in audit["lost_ranges"]] == [(ORIGIN, 2, 3)]


def test_who_may_have_what_its_origin_has_let_go_has_time_to_be_linked(receiver: Receiver) -> None:
    receiver.lacks_what_its_origin_let_go()
    receiver.asks()
    receiver.answers(absent=[[ORIGIN, "A", 2, 3]])
    d = receiver.bench.peer("d", "A")
    receiver.asks_in_vain(SETTLED_S - 1)
    assert receiver.missing == [Range(2, 3)]
    assert receiver.arrives(2, "y", "z", link=d, flags=REPLAYED) == ["y", "z", "w"]


def test_of_what_nobody_else_has_only_that_is_lost_which_its_origin_has_let_go(receiver: Receiver) -> None:
    receiver.bench.turn(later_s=SETTLED_S)
    receiver.arrives(1, "x")
    receiver.hears("beacon", receiver.b, heads=[[ORIGIN, "A", 6]])
    assert receiver.asks() == [(receiver.b, [[ORIGIN, "A", 2, 6]])]
    receiver.answers(gone=[[ORIGIN, "A", 2, 3]])
    assert receiver.asks() == [(receiver.c, [[ORIGIN, "A", 2, 6]])]
    receiver.answers(absent=[[ORIGIN, "A", 2, 6]])
    assert receiver.missing == [Range(4, 6)]
    assert receiver.asks(3.0) == [(receiver.b, [[ORIGIN, "A", 4, 6]])]


def test_anothers_word_makes_none_as_long_as_the_origin_may_come_back(receiver: Receiver) -> None:
    receiver.bench.turn(link_events=[(receiver.b, "disconnected", "gone")])
    receiver.arrives(1, "x", link=receiver.c)
    receiver.arrives(3, "z", link=receiver.c)
    assert receiver.asks() == [(receiver.c, [[ORIGIN, "A", 2, 2]])]
    for _ in range(int(2 * PATIENCE_S / 5)):
        if receiver.wants:
            receiver.answers(gone=[[ORIGIN, "A", 2, 2]])
        receiver.asks(5.0)
    assert receiver.missing == [Range(2, 2)]


@pytest.mark.parametrize(("word", "left"), [("absent", [Range(1, 2)]), ("gone", [])])
def test_a_leaf_waits_for_what_its_peer_can_fetch_when_the_origin_is_back(
    tmp_path: Path, word: str, left: list[Range]
) -> None:
    leaf = Bench(tmp_path, "l", role="leaf")
    Program(leaf, "1").attach()
    link, here = leaf.peer("p"), Fact("b", ORIGIN, 1, 1, addresses=("tcp://b:7270",))
    leaf.membership.members.learn(here, leaf.now.mono_us)
    leaf.turn(requests=[Program(leaf, "1").subscribing("c", "A", durable=True)[1]])
    ack = {"t": "interest_ack", "version": leaf.announced[link], "origins": ["p.1", ORIGIN], "heads": []}
    leaf.turn(links=[(link, control(ack))])
    leaf.turn(links=[(link, control({"t": "beacon", "heads": [[ORIGIN, "A", 2]]}))])
    for _ in range(int(2 * PATIENCE_S / 5)):
        turn = leaf.turn(links=[(link, control({"t": "ping", "at": None, "used": True}))], later_s=5.0)
        for want in [each for each in sent(turn, link) if each["t"] == "want"]:
            served = {"t": "served", "id": want["id"], "gone": [], "absent": [], word: want["ranges"]}
            leaf.turn(links=[(link, control(served))])
    assert leaf.state.relay.missing(leaf.state.relay.streams[ORIGIN, "A"]) == left


def test_what_a_neighbour_no_longer_linked_was_asked_is_asked_of_another(receiver: Receiver) -> None:
    receiver.arrives(1, "x")
    receiver.arrives(3, "z")
    assert receiver.asks()[0][0] == receiver.b
    receiver.said = receiver.bench.turn(link_events=[(receiver.b, "disconnected", "gone")])
    assert receiver.asks() == [(receiver.c, [[ORIGIN, "A", 2, 2]])]


def test_a_gap_is_as_old_as_itself_and_not_as_the_first_one_of_its_stream(receiver: Receiver) -> None:
    receiver.arrives(1, "x")
    receiver.arrives(3, "z")
    receiver.hears("beacon", receiver.c, heads=[["c.1", "A", 2]])
    receiver.arrives(2, "y")
    assert receiver.missing == []
    receiver.asks_in_vain(STALLED_S - 30)
    assert len(receiver.bench.state.relay.gaps) == 1
    receiver.hears("beacon", receiver.b, heads=[[ORIGIN, "A", 4]])
    receiver.asks_in_vain(60)
    assert receiver.missing == [Range(4, 4)]


def test_of_many_neighbours_each_has_its_turn_and_what_none_of_them_has_is_a_loss(receiver: Receiver) -> None:
    """All of them together take longer to answer than one of them is passed over."""
    others = [receiver.bench.peer(f"d{number}") for number in range(30)]
    frames = [forwarded(receiver.author.at(first, "A", "x"), "old.1", first) for first in (1, 3)]
    receiver.bench.turn(links=[(receiver.c, frame) for frame in frames])
    asked = receiver.asks_in_vain(PATIENCE_S - 2, later_s=0.1)
    assert set(asked[:32]) == {receiver.b, receiver.c, *others}
    stream = receiver.bench.state.relay.streams["old.1", "A"]
    assert receiver.bench.state.relay.missing(stream) == [Range(2, 2)]
    receiver.asks_in_vain(4, later_s=0.1)
    assert (stream.head, receiver.bench.state.relay.missing(stream)) == (3, [])


@pytest.mark.parametrize("first", [2, 4, 5])
def test_what_of_a_range_has_come_before_its_origin_calls_it_gone_is_not_lost(receiver: Receiver, first: int) -> None:
    receiver.arrives(1, "x")
    receiver.arrives(7, "z")
    receiver.asks()
    wants = receiver.wants
    receiver.arrives(first, "u", "v", link=receiver.c)
    receiver.wants = wants
    receiver.answers(gone=[[ORIGIN, "A", 2, 6]])
    receiver.asks_in_vain(SETTLED_S + 3, word="gone")
    after = [] if first == 2 else ["u", "v"]
    assert receiver.given == [*after, "z"]
    lost = [(each["first"], each["last"]) for each in receiver.bench.ask("audit")["lost_ranges"]]
    assert lost == {2: [(4, 6)], 4: [(2, 3), (6, 6)], 5: [(2, 4)]}[first]
    assert receiver.missing == []


def test_no_more_is_called_lost_than_every_neighbour_was_asked_for(receiver: Receiver) -> None:
    def old(first: int, link: str) -> None:
        frame = forwarded(receiver.author.at(first, "A", "x"), "old.1", first)
        receiver.said = receiver.bench.turn(links=[(link, frame)])

    old(1, receiver.c)
    receiver.hears("beacon", receiver.c, heads=[["old.1", "A", 5]])
    assert receiver.asks() == [(receiver.c, [["old.1", "A", 2, 5]])]
    receiver.answers(gone=[["old.1", "A", 2, 5]])
    old(4, receiver.b)
    receiver.asks_in_vain(PATIENCE_S - 1)
    receiver.hears("beacon", receiver.b, heads=[["old.1", "A", 8]])
    receiver.asks_in_vain(2)
    stream = receiver.bench.state.relay.streams["old.1", "A"]
    assert receiver.bench.state.relay.missing(stream) == [Range(5, 8)]
    receiver.asks_in_vain(PATIENCE_S - 2)
    receiver.hears("beacon", receiver.b, heads=[["old.1", "A", 9]])
    receiver.asks_in_vain(5)
    assert receiver.bench.state.relay.missing(stream) == [Range(9, 9)]
