"""Where a peer's streams begin here: behind what passed before anybody wanted them, or at their first event."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.streams import Range
from node.facts import Fact
from node.neighbours import NAMED_S
from node.turn import Turn
from node.wanting import Wanting
from tests.node.workbench import Author, Bench, Program, control, forwarded

ORIGIN = "b.1"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A node named `a`."""
    return Bench(tmp_path)


@pytest.fixture
def program(bench: Bench) -> Program:
    """A program attached to it."""
    program = Program(bench, "1")
    program.attach()
    return program


def answered(bench: Bench, link: str, *heads: tuple[str, int], version: int | None = None) -> None:
    """The peer answers an announcement (default: the newest) and names its heads."""
    version = bench.announced[link] if version is None else version
    rows = [(ORIGIN, topic, head) for topic, head in heads]
    ack = {"t": "interest_ack", "version": version, "origins": [ORIGIN], "heads": rows}
    bench.turn(links=[(link, control(ack))])


def wanted(program: Program, link: str, pattern: str, *heads: tuple[str, int], durable: bool = False) -> int:
    """Subscribe; the peer answers, and the registration completes. The subscription's number."""
    sub, request = program.subscribing(pattern, pattern, durable=durable)
    program.bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    answered(program.bench, link, *heads)
    program.bench.turn()
    return sub


def beginning(bench: Bench, topic: str) -> tuple[int, int]:
    """Base and head of a stream of the peer."""
    stream = bench.state.relay.streams[ORIGIN, topic]
    return stream.base, stream.head


def test_a_stream_that_was_there_before_begins_behind_its_head(bench: Bench, program: Program) -> None:
    wanted(program, bench.peer("b"), "T.*", ("T.one", 40))
    assert beginning(bench, "T.one") == (40, 40)


def test_a_stream_that_comes_to_light_later_begins_at_its_first_event(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    wanted(program, link, "T.*", ("T.one", 40))
    bench.turn(link_events=[(link, "disconnected", "")])
    answered(bench, bench.peer("b"), ("T.one", 45), ("T.two", 9))
    assert beginning(bench, "T.one") == (40, 40)
    assert beginning(bench, "T.two") == (0, 0)


@pytest.mark.parametrize(("durable", "begins"), [(True, (0, 0)), (False, (9, 9))])
def test_over_a_restart_only_durable_consumers_have_wanted_all_along(
    bench: Bench, program: Program, durable: bool, begins: tuple[int, int]
) -> None:
    wanted(program, bench.peer("b"), "T.*", ("T.one", 40), durable=durable)
    bench.restart()
    answered(bench, bench.peer("b"), ("T.one", 45), ("T.two", 9))
    assert beginning(bench, "T.one") == ((40, 40) if durable else (45, 45))
    assert beginning(bench, "T.two") == begins


def test_a_pattern_that_was_not_wanted_for_a_while_begins_anew(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    sub = wanted(program, link, "T.*", ("T.one", 40))
    bench.turn(link_events=[(link, "disconnected", "")])
    bench.turn(requests=[program.request("unsubscribe", sub=sub)])
    link = bench.peer("b")
    answered(bench, link)
    wanted(program, link, "T.*", ("T.one", 60), ("T.two", 9))
    assert beginning(bench, "T.one") == (60, 60)
    assert beginning(bench, "T.two") == (9, 9)


def test_an_answer_stands_for_the_announcement_it_answers_and_for_no_later_one(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    first, request = program.subscribing("x", "X")
    bench.turn(requests=[request], subscriptions=[program.marker(first)])
    version = bench.announced[link]
    second, request = program.subscribing("y", "Y")
    bench.turn(requests=[request], subscriptions=[program.marker(second)])
    answered(bench, link, ("X", 4), version=version)
    answered(bench, link, ("Y", 7))
    assert (beginning(bench, "X"), beginning(bench, "Y")) == ((4, 4), (7, 7))


def test_what_is_replicated_is_wanted_without_a_consumer_and_owed_over_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replicate=("T.*",))
    assert bench.state.interest.patterns == ("T.*",)
    answered(bench, bench.peer("b"), ("T.one", 40))
    bench.restart()
    answered(bench, bench.peer("b"), ("T.one", 45), ("T.two", 9))
    assert beginning(bench, "T.one") == (40, 40)
    assert beginning(bench, "T.two") == (0, 0)
    assert bench.state.relay.missing(bench.state.relay.streams[ORIGIN, "T.one"]) == [Range(41, 45)]


def test_what_passed_while_a_durable_name_had_another_pattern_is_not_owed_to_it(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    sub = renewed(program, link, "T")
    bench.turn(links=[(link, forwarded(Author("far").at(1, "T", "x", "y"), ORIGIN, 1))])
    program.report(sub, [ORIGIN, "T", 0, 2, [], []])
    program.leave()
    program.attach()
    renewed(program, link, "U")
    program.leave()
    program.attach()
    renewed(program, link, "T", ("T", 40))
    assert beginning(bench, "T") == (40, 40)
    (books,) = bench.ask("audit")["consumers"]
    assert (books["published"], books["in_flight"], books["balanced"]) == (2, 0, True)


def renewed(program: Program, link: str, pattern: str, *heads: tuple[str, int]) -> int:
    """Subscribe under the same durable name; the peer answers. The subscription's number."""
    sub, request = program.subscribing("c", pattern, durable=True)
    program.bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    answered(program.bench, link, *heads)
    return sub


def told(bench: Bench, link: str, *rows: tuple[str, str, int]) -> None:
    """A peer answers an announcement for itself, and names streams of others as it has them."""
    ack = {"t": "interest_ack", "version": bench.announced[link], "origins": ["c.1"], "heads": rows}
    bench.turn(links=[(link, control(ack))])


def test_what_was_wanted_all_along_is_owed_from_its_first_event_whoever_says_first_that_it_exists(
    bench: Bench, program: Program
) -> None:
    other = bench.peer("c")
    wanted(program, bench.peer("b"), "T.*")
    told(bench, other, (ORIGIN, "T.one", 12))
    assert beginning(bench, "T.one") == (0, 0)
    assert bench.state.relay.missing(bench.state.relay.streams[ORIGIN, "T.one"]) == [Range(1, 12)]


@pytest.mark.parametrize(("lives", "begins"), [(False, 12), (True, 0)])
def test_of_a_generation_that_was_gone_before_a_later_one_was_known_here_nothing_is_owed(
    bench: Bench, program: Program, lives: bool, begins: int
) -> None:
    other = bench.peer("c")
    wanted(program, bench.peer("b"), "T.*", durable=True)
    told(bench, other)
    heads = control({"t": "heads", "heads": [("b.0", "T.one", 12)]})
    bench.turn(links=[(other, heads)])
    assert ("b.0", "T.one") not in bench.state.relay.streams
    if lives:
        bench.membership.members.learn(Fact("b", "b.0"), bench.now.mono_us)
    bench.turn(links=[(other, heads)], later_s=NAMED_S)
    assert bench.state.relay.streams["b.0", "T.one"].base == begins
    assert (bench.state.relay.missing(bench.state.relay.streams["b.0", "T.one"]) == []) is not lives


def test_but_a_consumer_that_stands_in_its_stream_is_owed_what_follows(bench: Bench, program: Program) -> None:
    other = bench.peer("c")
    sub, request = program.subscribing("c", "T.*", durable=True)
    bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    told(bench, other, ("b.0", "T.one", 3))
    bench.turn()
    answered(bench, bench.peer("b"))
    heads = control({"t": "heads", "heads": [("b.0", "T.one", 12)]})
    bench.turn(links=[(other, heads)])
    bench.turn(links=[(other, heads)], later_s=NAMED_S)
    stream = bench.state.relay.streams["b.0", "T.one"]
    assert (stream.base, bench.state.relay.missing(stream)) == (3, [Range(4, 12)])


@pytest.mark.parametrize(("origin", "begins"), [("b.2", 0), ("d.1", 12)])
def test_a_new_generation_is_owed_what_its_former_one_knew_to_be_wanted(
    bench: Bench, program: Program, origin: str, begins: int
) -> None:
    other = bench.peer("c")
    wanted(program, bench.peer("b"), "T.*")
    told(bench, other, (origin, "T.one", 12))
    assert bench.state.relay.streams[origin, "T.one"].base == begins


def following(bench: Bench, link: str, head: int) -> tuple[int, int]:
    """A neighbour says that it follows a stream and stands there; where the stream stands here then."""
    fields = {"version": 9, "lists": {"c": ["T.*"]}, "whole": True, "heads": [[ORIGIN, "T.one", head]]}
    bench.turn(links=[(link, control({"t": "interest", **fields}))])
    return beginning(bench, "T.one")


@pytest.mark.parametrize(
    ("stands", "begins"),
    [
        (6, (6, 6)),  # where the log has nothing of it behind that
        (2, (1, 3)),  # with the batch of the log that goes on from there
        (0, (0, 3)),
    ],
)
def test_a_stream_that_was_placed_further_on_goes_back_to_who_follows_it_and_takes_up_what_the_log_has(
    bench: Bench, stands: int, begins: tuple[int, int]
) -> None:
    link, other = bench.peer("b"), bench.peer("c")
    far = Author("far")
    bench.turn(links=[(link, forwarded(far.at(1, "T.one", "x"), ORIGIN, 1))])
    bench.turn(links=[(link, forwarded(far.at(2, "T.one", "y", "z"), ORIGIN, 2))])
    answered(bench, link, ("T.one", 40))
    assert beginning(bench, "T.one") == (40, 40)
    assert following(bench, other, stands) == begins
    bench.turn(links=[(link, forwarded(far.at(begins[1] + 1, "T.one", "w"), ORIGIN, begins[1] + 1))])
    assert bench.ask("audit")["balanced"]


def test_who_follows_a_stream_from_further_on_takes_nothing_from_a_consumer_here(
    bench: Bench, program: Program
) -> None:
    wanted(program, bench.peer("b"), "T.*", ("T.one", 3), durable=True)
    bench.restart()
    assert following(bench, bench.peer("c"), 9) == (3, 3)


def test_a_stream_begins_where_the_program_that_is_coming_back_stands_when_another_follows_it_from_further_on(
    bench: Bench, program: Program
) -> None:
    other = bench.peer("c")
    sub, request = program.subscribing("c", "T.*", resume=[[ORIGIN, "T.one", 4]])
    bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    assert following(bench, other, 9) == (4, 4)


class Knowing:
    """A `Wanting` for two origins at most on a bench that replicates A; `speaking` are the origins spoken for."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.speaking: set[str] = set()
        self.wanting = Wanting(bench.state, lambda: ["A"], self._ways, origins_max=2)
        self._version = 0

    def _ways(self, origin: str) -> tuple[str, ...]:
        return ("link",) if origin in self.speaking else ()

    def answer(self, *origins: str, fails: bool = False) -> None:
        """A peer answers for origins, in a turn that is committed or fails."""
        turn = Turn(self.bench.now)
        self._version += 1
        self.wanting.told("link", self._version, ["A"])
        self.wanting.answered("link", origins, self._version, (), turn)
        self.wanting.keep(turn)
        if not fails:
            self.bench.store.commit(turn.changes)
        for act in turn.once_failed if fails else turn.once_committed:
            act()

    def known(self) -> tuple[list[str], list[str]]:
        """The origins that know of the wish, and those of which the disk says so."""
        meta = self.bench.store.read_meta()
        origins = [f"{name}.1" for name in "bcde"]
        return [each for each in origins if self.wanting.before(each, "A")], [
            e for e in origins if f"wanted {e}" in meta
        ]


@pytest.fixture
def knowing(tmp_path: Path) -> Knowing:
    return Knowing(Bench(tmp_path, replicate=("A",)))


def test_of_too_many_origins_those_are_forgotten_that_answered_the_longest_time_ago(knowing: Knowing) -> None:
    for origin in ("b.1", "c.1", "b.1"):
        knowing.answer(origin)
    assert knowing.known() == (["b.1", "c.1"], ["b.1", "c.1"])
    knowing.answer("d.1")
    assert knowing.known() == (["b.1", "d.1"], ["b.1", "d.1"])


def test_but_who_is_spoken_for_is_forgotten_last(knowing: Knowing) -> None:
    knowing.answer("b.1", "c.1")
    knowing.speaking |= {"b.1", "d.1"}
    knowing.answer("d.1")
    assert knowing.known() == (["b.1", "d.1"], ["b.1", "d.1"])
    knowing.speaking |= {"e.1"}
    knowing.answer("e.1")
    assert knowing.known() == (["d.1", "e.1"], ["d.1", "e.1"])


def test_what_the_disk_still_says_of_who_is_forgotten_goes_with_the_next_turn_that_is_committed(
    knowing: Knowing,
) -> None:
    knowing.answer("b.1", "c.1")
    knowing.answer("d.1", fails=True)
    assert knowing.known() == (["c.1"], ["b.1", "c.1"])
    knowing.answer("c.1")
    assert knowing.known() == (["c.1"], ["c.1"])
