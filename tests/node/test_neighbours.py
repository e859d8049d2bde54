"""Two whole nodes over a wire in memory: interest, forwarding, and the barrier of a subscription."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.wire import Wire
from tests.node.workbench import Author, Bench, Program, answer, control, interest, live, sent, values


class Pair:
    """Nodes `a` and `b`, each with one program; `a` dialled `b`."""

    def __init__(self, path: Path) -> None:
        self.a, self.b = Bench(path, "a"), Bench(path, "b")
        self.wire = Wire(self.a, self.b)
        self.connection = self.wire.dial("a", "tcp://b")
        self.wire.settle()
        self.at_a, self.at_b = Program(self.a, "at a"), Program(self.b, "at b")
        self.author = Author()
        for program in (self.at_a, self.at_b):
            program.attach()
        self.a.greet(self.author)

    def publish(self, *payloads: object, topic: str = "A") -> None:
        """Publish at `a`, and let it travel."""
        self.wire.send(self.a, self.a.turn(self.author.frame(topic, *payloads)))

    def subscribe_at_b(self, pattern: str) -> None:
        """Subscribe at `b`, with all that this needs of `a`."""
        sub, request = self.at_b.subscribing("c", pattern)
        turn = self.b.turn(requests=[request], subscriptions=[self.at_b.marker(sub)])
        assert turn.replies == []
        self.wire.send(self.b, turn)
        self.wire.deliver(self.connection, to_acceptor=False)
        replies = []
        while self.connection.to_acceptor:
            data = self.connection.to_acceptor.popleft()
            turn = self.b.turn(links=[(self.connection.routing_id, data)])
            self.wire.send(self.b, turn)
            replies += turn.replies
        assert len(replies) == 1

    def arriving(self) -> list[object]:
        """The values that `b` gives to its programs of what is on its way."""
        found: list[object] = []
        while self.connection.to_acceptor:
            data = self.connection.to_acceptor.popleft()
            turn = self.b.turn(links=[(self.connection.routing_id, data)])
            self.wire.send(self.b, turn)
            found += [value for frame in live(turn) for value in values(frame)]
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_both_know_each_other_by_name_and_origin(pair: Pair) -> None:
    for bench, other in ((pair.a, pair.b), (pair.b, pair.a)):
        (row,) = bench.ask("peers")["rows"]
        assert (row["name"], row["state"], row["link"]) == (other.name, "alive", "up")


def test_a_subscription_is_in_force_at_the_peer_when_it_is_answered(pair: Pair) -> None:
    pair.subscribe_at_b("A")
    pair.publish(1, 2)
    assert pair.arriving() == [1, 2]


def test_what_nobody_wants_there_does_not_travel(pair: Pair) -> None:
    pair.subscribe_at_b("B")
    pair.publish(1)
    assert pair.arriving() == []
    assert pair.b.state.log_sizes.size()["events"] == 0


def test_a_forwarded_event_is_in_both_logs_under_one_id_and_goes_no_further(pair: Pair) -> None:
    pair.subscribe_at_b("A")
    pair.publish("x")
    pair.wire.settle()
    shown = [bench.ask("log.show", event=f"{pair.a.origin}/A/1")["event"] for bench in (pair.a, pair.b)]
    assert shown[0]["hash"] == shown[1]["hash"]
    assert [event["payload"] for event in shown] == [{"v": "x"}, {"v": "x"}]
    assert pair.a.node.counts["repeated"] == 0


def test_interest_shrinks_when_the_subscription_ends(pair: Pair) -> None:
    pair.subscribe_at_b("A")
    pair.wire.send(pair.b, pair.at_b.leave())
    pair.wire.settle()
    pair.publish(1)
    assert pair.arriving() == []


def test_interest_is_told_again_after_the_connection_was_lost(pair: Pair) -> None:
    pair.subscribe_at_b("A")
    pair.wire.cut(pair.connection)
    assert pair.a.state.interest.links_wanting("A") == ()
    pair.connection = pair.wire.connect("a", "tcp://b")
    pair.wire.settle()
    pair.publish("back")
    assert pair.arriving() == ["back"]


def test_what_arrived_over_a_connection_counts_also_when_it_has_ended_since(pair: Pair) -> None:
    pair.subscribe_at_b("A")
    pair.publish("last words")
    key = pair.connection.routing_id
    messages = [(key, data) for data in pair.connection.to_acceptor]
    turn = pair.b.turn(links=messages, link_events=[(key, "disconnected", "gone")])
    assert [value for frame in live(turn) for value in values(frame)] == ["last words"]
    assert [row["link"] for row in pair.b.ask("peers")["rows"]] != ["up"]


def test_without_a_link_a_subscription_waits_for_nobody(pair: Pair) -> None:
    pair.wire.cut(pair.connection)
    sub, request = pair.at_a.subscribing("c", "A")
    assert answer(pair.a.turn(requests=[request], subscriptions=[pair.at_a.marker(sub)]))["ok"]


def test_garbage_from_a_peer_is_counted_and_the_link_stays(pair: Pair) -> None:
    for data in (b"", b"\x00", b"\x00{}", b"A\x00nonsense", b"\x00[1]"):
        pair.b.turn(links=[(pair.connection.routing_id, data)])
    pair.subscribe_at_b("A")
    pair.publish(1)
    assert pair.arriving() == [1]


# ── who is reached ───────────────────────────────────────────────────────────────────────────────────────────────────


def reached(bench: Bench, link: str, later_s: float) -> list[tuple[list[str], list[str]]]:
    """What a neighbour is told after so many seconds of who is reached from here, and who is not any more."""
    told = [each for each in sent(bench.turn(later_s=later_s), link) if each["t"] == "reach"]
    return [(each["names"], each["lost"]) for each in told]


def test_the_more_neighbours_there_are_the_further_apart_they_are_told_of_changes_of_who_is_reached(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    names = [f"p{number:02}" for number in range(60)]
    first, second, *_ = [bench.peer(name) for name in names]
    assert reached(bench, first, 0.6) == [(names, [])]
    bench.peer("late")
    assert reached(bench, first, 0.6) == []
    bench.turn(link_events=[(second, "disconnected", "gone")])
    assert reached(bench, first, 0.6) == [(["late"], ["p01"])]


def test_that_somebody_is_lost_who_is_carried_for_another_is_told_soon(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asker, carried, *_ = [bench.peer(f"p{number:02}") for number in range(60)]
    assert len(reached(bench, asker, 0.6)) == 1
    bench.turn(links=[(asker, control({**interest("p00"), "version": 2, "carry": ["p01"]}))])
    bench.turn(link_events=[(carried, "disconnected", "gone")])
    assert reached(bench, asker, 0.5) == [([], ["p01"])]
