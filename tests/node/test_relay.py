from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.dedup import DedupWindow, Sighting
from mesh.errors import MalformedFrame
from mesh.frame import EPHEMERAL, NO_HASH, Frame, decode
from mesh.streams import Range
from node.melting import Taken
from node.relay import Admission, Admitted, OutOfTurn, Passing, Publisher, Rejected, Relay, Repeated
from node.streams import first_stored
from tests.node.workbench import Author, hashes, values

NOW = 1_000_000_000
WINDOW_US = 60_000_000
Taking = list[tuple[str, str, list[int], bool]]
"""author, topic, payloads, whether duplicates are dropped: a frame each"""


def relay_of(*authors: Author, window_us: int = WINDOW_US) -> Relay:
    relay = Relay("a.1", DedupWindow(WINDOW_US), lambda topic: window_us)
    for author in authors:
        relay.greet(author.id, 1)
    return relay


def sighting(payload: str) -> bytes | None:
    """Sightings are one fact whenever they were made; anything else counts by its hash."""
    return b"sighting".ljust(16) if payload.startswith("seen") else None


def sighting_of(payload: int) -> bytes | None:
    """Every seventh payload is the same fact as the one after it."""
    return b"%-16d" % (payload // 2) if payload % 14 in (6, 7) else None


def admitted(relay: Relay, frame: Frame, now: int = NOW) -> Admitted:
    admission = relay.admit(frame, now)
    assert isinstance(admission, Admitted)
    return admission


def test_a_first_event_gets_this_nodes_origin_and_sequence_1() -> None:
    author = Author()
    relay = relay_of(author)
    found = admitted(relay, author.at(1, "A", "x"))
    assert found.frame is not None
    assert (found.frame.origin, found.frame.sequence, found.frame.number) == ("a.1", 1, 1)
    assert (found.new_stream, found.runs, found.duplicates) == (True, [(1, 1, 1)], [])


def test_sequences_count_per_topic_and_over_all_publishers() -> None:
    first, second = Author("first"), Author("second")
    relay = relay_of(first, second)
    frames = [first.at(1, "A", 1, 2), second.at(1, "A", 3), first.at(3, "B", 4), second.at(2, "A", 5)]
    taken = [admitted(relay, frame).frame for frame in frames]
    assert [(frame.topic, frame.sequence, frame.count) for frame in taken if frame] == [
        ("A", 1, 2),
        ("A", 3, 1),
        ("B", 1, 1),
        ("A", 4, 1),
    ]


def test_an_unknown_publisher_is_asked_to_say_hello() -> None:
    assert relay_of().admit(Author().at(1, "A", 1), NOW) == OutOfTurn(0)


def test_a_number_ahead_of_its_turn_asks_for_the_missing_one() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", 1, 2))
    assert relay.admit(author.at(4, "A", 4), NOW) == OutOfTurn(3)


def test_a_number_already_admitted_is_repeated_whatever_it_holds() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", 1, 2))
    for frame in (author.at(1, "A", 1, 2), author.at(2, "A", 2)):
        assert isinstance(relay.admit(frame, NOW), Repeated)
    assert relay.streams["a.1", "A"].head == 2


def test_a_publisher_begins_where_its_hello_says() -> None:
    author = Author()
    relay = relay_of()
    relay.greet(author.id, 7)
    assert relay.admit(author.at(8, "A", 8), NOW) == OutOfTurn(7)
    assert admitted(relay, author.at(7, "A", 7)).runs == [(7, 1, 1)]


def test_a_second_hello_does_not_take_a_publisher_back() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", 1, 2))
    relay.greet(author.id, 1)
    assert isinstance(relay.admit(author.at(1, "A", 1, 2), NOW), Repeated)


def test_a_publisher_that_has_receipts_this_node_lost_goes_on_after_them() -> None:
    author = Author()
    relay = relay_of(author)
    relay.greet(author.id, 9)
    assert admitted(relay, author.at(9, "A", 9)).runs == [(9, 1, 1)]


def test_the_same_content_within_the_window_is_a_duplicate_of_the_first() -> None:
    author, other = Author("one"), Author("other")
    relay = relay_of(author, other)
    admitted(relay, author.at(1, "A", "x", "y"))
    again = admitted(relay, other.at(1, "A", "y"), NOW + 1)
    assert (again.frame, again.runs) == (None, [])
    assert again.duplicates == [(1, Sighting("a.1", "A", 2, NOW))]
    assert relay.streams["a.1", "A"].head == 2


@pytest.mark.parametrize(("later_us", "known"), [(WINDOW_US - 1, True), (WINDOW_US, False)])
def test_the_window_ends_exactly_after_its_length(later_us: int, known: bool) -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x"))
    assert (admitted(relay, author.at(2, "A", "x"), NOW + later_us).frame is None) is known


def test_the_same_content_on_another_topic_is_news() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x"))
    assert admitted(relay, author.at(2, "B", "x")).duplicates == []


def test_a_window_of_zero_turns_deduplication_off() -> None:
    author = Author()
    relay = relay_of(author, window_us=0)
    found = admitted(relay, author.at(1, "A", "x", "x"))
    assert (found.runs, found.duplicates) == ([(1, 2, 1)], [])


def test_an_event_that_opts_out_is_kept_though_known() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x"))
    assert admitted(relay, author.at(2, "A", "x", dedup=False)).runs == [(2, 1, 2)]


def test_meta_that_only_looks_like_opting_out_is_no_error() -> None:
    author = Author()
    relay = relay_of(author)
    frame = author.at(1, "A", "x")
    admitted(relay, frame)
    for number, meta in enumerate((b'"dedup" no json', b'["dedup"]', b'{"dedup":0}'), 2):
        record = frame.events[:24] + len(meta).to_bytes(2, "big") + frame.events[26:30] + meta + frame.events[30:]
        found = admitted(relay, frame._replace(number=number, events=record))
        assert [each for each, _ in found.duplicates] == [number]


def test_two_payloads_with_one_key_are_one_fact() -> None:
    author, other = Author("one"), Author("other")
    relay = relay_of(author, other)
    admitted(relay, author.at(1, "A", "seen at 1", key=sighting))
    again = admitted(relay, other.at(1, "A", "seen at 2", "news", "seen at 3", key=sighting))
    assert again.runs == [(2, 1, 2)]
    assert again.duplicates == [(1, Sighting("a.1", "A", 1, NOW)), (3, Sighting("a.1", "A", 1, NOW))]


def test_two_payloads_with_one_key_in_one_frame_are_one_fact() -> None:
    author = Author()
    found = admitted(relay_of(author), author.at(1, "A", "seen at 1", "seen at 2", key=sighting))
    assert (found.runs, found.duplicates) == ([(1, 1, 1)], [(2, Sighting("a.1", "A", 1, NOW))])


def test_an_event_with_a_key_does_not_count_by_its_hash() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x", key=lambda payload: b"1" * 16))
    assert admitted(relay, author.at(2, "A", "x")).runs == [(2, 1, 2)]
    assert admitted(relay, author.at(3, "A", "x", key=lambda payload: b"2" * 16)).runs == [(3, 1, 3)]


def test_a_key_is_known_from_a_forwarded_frame() -> None:
    author = Author()
    relay = relay_of(author)
    elsewhere = Author("elsewhere").at(1, "A", "seen at 1", key=sighting)._replace(origin="b.1", sequence=7)
    relay.admit_forwarded(elsewhere, 6, NOW)
    found = admitted(relay, author.at(1, "A", "seen at 2", key=sighting))
    assert found.duplicates == [(1, Sighting("b.1", "A", 7, NOW))]


def test_an_event_that_opts_out_is_kept_whatever_its_key() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "seen at 1", key=sighting))
    assert admitted(relay, author.at(2, "A", "seen at 2", key=sighting, dedup=False)).runs == [(2, 1, 2)]


def test_duplicates_inside_a_frame_are_cut_out_and_the_rest_stays_dense() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x"))
    found = admitted(relay, author.at(2, "A", "x", "y", "y", "z", "w", "x"), NOW + 5)
    assert found.frame is not None
    assert values(found.frame) == ["y", "z", "w"]
    assert (found.frame.sequence, found.frame.number, found.frame.count) == (2, 3, 3)
    assert found.runs == [(3, 1, 2), (5, 2, 3)]
    assert found.duplicates == [
        (2, Sighting("a.1", "A", 1, NOW)),
        (4, Sighting("a.1", "A", 2, NOW + 5)),
        (7, Sighting("a.1", "A", 1, NOW)),
    ]


def test_a_wrong_content_hash_rejects_the_frame_and_takes_no_sequence() -> None:
    author = Author()
    relay = relay_of(author)
    frame = author.at(1, "A", "x")
    wrong = frame._replace(events=frame.events[:8] + b"w" * 16 + frame.events[24:])
    assert isinstance(relay.admit(wrong, NOW), Rejected)
    assert relay.streams == {}
    assert admitted(relay, author.at(2, "A", "y")).runs == [(2, 1, 1)]


def bare(frame: Frame) -> Frame:
    """The frame, with one event, as a publisher makes it: without the content hash."""
    return frame._replace(events=frame.events[:8] + NO_HASH + frame.events[24:])


def test_a_hash_that_the_publisher_left_out_is_made_here() -> None:
    author = Author()
    frame = author.at(1, "A", "x")
    found = admitted(relay_of(author), bare(frame))
    assert found.frame == frame._replace(origin="a.1", sequence=1)


def test_an_event_is_known_by_its_content_whoever_made_the_hash() -> None:
    author = Author()
    relay = relay_of(author)
    admitted(relay, author.at(1, "A", "x"))
    found = admitted(relay, bare(author.at(2, "A", "x")))
    assert (found.frame, found.duplicates) == (None, [(2, Sighting("a.1", "A", 1, NOW))])


def test_an_ephemeral_frame_passes_with_the_origin_and_leaves_no_trace() -> None:
    author = Author()
    relay = relay_of(author)
    frame = decode(author.ephemeral("A", "x"))
    assert relay.admit(frame, NOW) == Passing(frame._replace(origin="a.1"))
    assert (relay.streams, len(relay.window)) == ({}, 0)


def test_an_ephemeral_frame_passes_without_hashes_too() -> None:
    frame = bare(Author().at(0, "A", "x")._replace(flags=EPHEMERAL))
    assert relay_of().admit(frame, NOW) == Passing(frame._replace(origin="a.1"))


def test_an_ephemeral_frame_whose_events_are_no_records_is_malformed() -> None:
    frame = Author().at(0, "A", "x")._replace(flags=EPHEMERAL)
    with pytest.raises(MalformedFrame, match="truncated"):
        relay_of().admit(frame._replace(events=frame.events[:-1]), NOW)


# ── a peer's frames ──────────────────────────────────────────────────────────────────────────────────────────────────


def from_peer(first: int, *payloads: str) -> Frame:
    return Author("far").at(first, "A", *payloads)._replace(origin="b.1", sequence=first)


def test_a_forwarded_frame_keeps_origin_and_sequence_and_tells_where_its_stream_begins() -> None:
    relay = relay_of()
    frame = from_peer(41, "x", "y")
    (found,) = relay.admit_forwarded(frame, 40, NOW)
    assert isinstance(found, Admitted)
    assert (found.frame, found.new_stream) == (frame, True)
    stream = relay.streams["b.1", "A"]
    assert (stream.base, stream.head) == (40, 42)


def test_a_forwarded_frame_that_is_here_already_is_dropped() -> None:
    relay = relay_of()
    relay.admit_forwarded(from_peer(1, "x", "y"), 0, NOW)
    assert relay.admit_forwarded(from_peer(1, "x", "y"), 0, NOW) == [Repeated(None)]
    assert relay.admit_forwarded(from_peer(2, "y"), 1, NOW) == [Repeated(None)]


def test_of_a_forwarded_frame_only_the_new_end_is_taken() -> None:
    relay = relay_of()
    relay.admit_forwarded(from_peer(1, "x", "y"), 0, NOW)
    (found,) = relay.admit_forwarded(from_peer(2, "y", "z"), 1, NOW)
    assert isinstance(found, Admitted)
    assert found.frame is not None
    assert (values(found.frame), found.frame.sequence, found.frame.number) == (["z"], 3, 3)


def sequences(admissions: list[Admission]) -> list[int]:
    return [each.frame.sequence for each in admissions if isinstance(each, Admitted) and each.frame]


def test_a_frame_ahead_of_a_gap_waits_and_follows_what_closes_it() -> None:
    relay = relay_of()
    relay.admit_forwarded(from_peer(1, "x"), 0, NOW)
    assert relay.admit_forwarded(from_peer(3, "z"), 0, NOW) == []
    stream = relay.streams["b.1", "A"]
    assert (stream.head, relay.missing(stream), list(relay.gaps)) == (1, [Range(2, 2)], [stream.id])
    assert sequences(relay.admit_forwarded(from_peer(2, "y"), 0, NOW)) == [2, 3]
    assert (stream.head, stream.gap, relay.gaps) == (3, None, {})


def test_what_will_never_come_is_skipped_and_what_waited_behind_it_goes_on() -> None:
    relay = relay_of()
    relay.admit_forwarded(from_peer(1, "x"), 0, NOW)
    relay.admit_forwarded(from_peer(4, "z"), 0, NOW)
    stream = relay.streams["b.1", "A"]
    assert sequences(relay.skip(stream, 3, NOW)) == [4]
    assert (stream.head, relay.gaps) == (4, {})


def test_a_stream_that_is_said_to_reach_further_has_a_gap_until_it_does() -> None:
    relay = relay_of()
    relay.admit_forwarded(from_peer(1, "x"), 0, NOW)
    stream = relay.streams["b.1", "A"]
    relay.learn(stream, 1)
    assert relay.gaps == {}
    relay.learn(stream, 2)
    assert relay.missing(stream) == [Range(2, 2)]
    relay.admit_forwarded(from_peer(2, "y"), 0, NOW)
    assert relay.gaps == {}


def test_a_stream_that_begins_earlier_has_no_gap_and_goes_on_from_there() -> None:
    relay = relay_of()
    stream = relay.begin_at("b.1", "A", 9)
    assert stream is not None
    assert first_stored(stream)
    relay.learn(stream, 12)
    relay.rewind(stream, 3, 4)
    assert (stream.base, stream.head, relay.gaps) == (3, 4, {})
    assert sequences(relay.admit_forwarded(from_peer(5, "x"), 0, NOW)) == [5]


def test_content_that_a_peer_announced_first_is_a_duplicate_here() -> None:
    author = Author()
    relay = relay_of(author)
    relay.admit_forwarded(from_peer(4, "x"), 3, NOW)
    assert admitted(relay, author.at(1, "A", "x")).duplicates == [(1, Sighting("b.1", "A", 4, NOW))]


def test_load_goes_on_with_streams_ids_and_publishers() -> None:
    author = Author()
    relay = relay_of()
    relay.load([(3, "a.1", "A", 0, 10), (2, "b.1", "A", 0, 7)], [(author.id, 5, 77)])
    assert relay.entered == 10
    found = admitted(relay, author.at(6, "A", "x"))
    assert found.runs == [(6, 1, 11)]
    assert found.stream is relay.by_id[3]
    new = admitted(relay, author.at(7, "B", "x")).stream
    assert new is not None
    assert (new.id, relay.entered) == (4, 12)
    assert isinstance(relay.publishers[author.id], Publisher)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=12))
def test_every_event_gets_one_sequence_or_one_duplicate_and_sequences_are_dense(batches: list[list[int]]) -> None:
    author = Author()
    relay = relay_of(author)
    number, sequence, first_of = 1, 0, {}
    for batch in batches:
        found = admitted(relay, author.at(number, "A", *batch))
        receipted = {
            each: start + i for begin, n, start in found.runs for i, each in enumerate(range(begin, begin + n))
        }
        repeated = {each: sighting.sequence for each, sighting in found.duplicates}
        for index, value in enumerate(batch):
            if value in first_of:
                assert repeated[number + index] == first_of[value]
                assert number + index not in receipted
            else:
                sequence += 1
                first_of[value] = sequence
                assert receipted[number + index] == sequence
        number += len(batch)
    assert sequence == (relay.streams["a.1", "A"].head if batches else 0)


# ── what one turn takes from a publisher ─────────────────────────────────────────────────────────────────────────────


def take(relay: Relay, *frames: Frame) -> list[Taken]:
    return [taken for frame in frames if isinstance(taken := relay.take(frame), Taken)]


def test_consecutive_frames_of_one_publisher_and_topic_become_one() -> None:
    author = Author()
    relay = relay_of(author)
    (found,) = relay.admit_taken(take(relay, author.at(1, "A", 1), author.at(2, "A", 2, 3), author.at(4, "A", 4)), NOW)
    assert found.frame == author.at(1, "A", 1, 2, 3, 4)._replace(origin="a.1", sequence=1)
    assert (found.runs, found.duplicates) == ([(1, 4, 1)], [])


def test_frames_of_another_topic_or_publisher_in_between_keep_frames_apart() -> None:
    one, other = Author("one"), Author("other")
    relay = relay_of(one, other)
    frames = [one.at(1, "A", 1), one.at(2, "B", 2), one.at(3, "A", 3), other.at(1, "A", 4), one.at(4, "A", 5)]
    found = relay.admit_taken(take(relay, *frames), NOW)
    assert [(each.publisher, each.runs) for each in found] == [
        (one.id, [(1, 1, 1)]),
        (one.id, [(2, 1, 1)]),
        (one.id, [(3, 1, 2)]),
        (other.id, [(1, 1, 3)]),
        (one.id, [(4, 1, 4)]),
    ]


def test_nothing_taken_is_nothing_admitted() -> None:
    assert relay_of().admit_taken([], NOW) == []


def each_event(found: list[Admitted]) -> list[tuple[bytes, int, str, int, Any]]:
    """publisher, number, topic, sequence and payload of what was admitted, in order."""
    return [
        (
            each.publisher,
            number + i,
            each.frame.topic,
            sequence + i,
            values(each.frame)[sequence + i - each.frame.sequence],
        )
        for each in found
        if each.frame
        for number, count, sequence in each.runs
        for i in range(count)
    ]


taking = st.lists(
    st.tuples(
        st.sampled_from(["one", "other"]),
        st.sampled_from("AAAB"),
        st.lists(st.integers(0, 40), min_size=1, max_size=3),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=12,
)


@given(taking, taking, st.sampled_from([0, WINDOW_US]))
def test_what_is_admitted_together_is_what_is_admitted_one_by_one(before: Taking, plan: Taking, window_us: int) -> None:
    authors = {"one": Author("one"), "other": Author("other")}
    together, singly = (relay_of(*authors.values(), window_us=window_us) for _ in range(2))

    def frames(plan: Taking) -> list[Frame]:
        return [
            decode(authors[name].frame(topic, *payloads, dedup=dedup, key=sighting_of))
            for name, topic, payloads, dedup in plan
        ]

    for now, made in ((NOW - 5, frames(before)), (NOW, frames(plan))):
        one_by_one = [admitted(singly, frame, now) for frame in made]
        at_once = together.admit_taken(take(together, *made), now)
        assert each_event(at_once) == each_event(one_by_one)
        assert [each.duplicates for each in at_once if each.duplicates] == [
            each.duplicates for each in one_by_one if each.duplicates
        ]
        assert sum(each.new_stream for each in at_once) == sum(each.new_stream for each in one_by_one)
    assert {key: stream.head for key, stream in together.streams.items()} == {
        key: stream.head for key, stream in singly.streams.items()
    }
    facts = {fact for made in (before, plan) for frame in frames(made) for fact in hashes(frame)}
    assert {fact: together.window.find(fact, NOW + 1, WINDOW_US) for fact in facts} == {
        fact: singly.window.find(fact, NOW + 1, WINDOW_US) for fact in facts
    }
