"""Following without sockets: what is handed on, what is asked for, what counts as lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.batch import Batch
from mesh.following import ASK_AFTER_S, Following, Skip, after_gone, replay_rows
from mesh.streams import Range, Run
from tests.mesh.batches import KEY, batch


def following(*streams: tuple[str, str, int, int], room: int = 1000) -> Following:
    followed = Following(room)
    followed.registered(streams, 0.0)
    return followed


def sequences(runs) -> list[int]:
    return [n for run in runs for n in range(run.item.first + run.offset, run.item.first + run.item.count)]


@pytest.mark.parametrize(
    ("head", "gone", "skip"),
    [
        (0, (1, 5), Skip(1, 5, Range(1, 5))),
        (4, (5, 9), Skip(5, 9, Range(5, 9))),
        (4, (2, 9), Skip(5, 9, Range(5, 9))),
        (4, (2, 4), None),
        (4, (6, 9), None),
        (0, (2, 5), None),
    ],
)
def test_a_gone_range_is_lost_as_far_as_it_is_news_and_touches_the_head(head, gone, skip):
    assert after_gone(head, Range(*gone)) == skip


def test_a_stream_of_which_the_node_has_less_than_arrived_here_begins_anew():
    followed = following(("n.1", "A", 1, 0))
    followed.offer(batch(1, 9), 0, 0.0)
    assert followed.registered([("n.1", "A", 4, 5)], 1.0) == [(KEY, 3)]
    assert followed.ask(0, 1.0) == [(KEY, Range(4, 5))]


def test_a_stream_of_which_the_node_has_as_much_as_arrived_here_goes_on():
    followed = following(("n.1", "A", 1, 0))
    followed.offer(batch(1, 9), 0, 0.0)
    assert followed.registered([("n.1", "A", 4, 9)], 1.0) == []
    assert not followed.behind


def test_a_stream_that_another_program_of_the_name_has_brought_further_goes_on_there():
    followed = following(("n.1", "A", 1, 0))
    followed.offer(batch(1, 3), 0, 0.0)
    assert followed.registered([("n.1", "A", 8, 9)], 1.0) == [(KEY, 7)]
    assert followed.ask(0, 1.0) == [(KEY, Range(8, 9))]


def test_a_registered_stream_begins_where_the_node_says():
    followed = Following(1000)
    assert followed.registered([("n.1", "A", 6, 5)], 0.0) == [(KEY, 5)]
    assert sequences(followed.offer(batch(4, 4), 0, 0.0)) == [6, 7]


def test_a_stream_that_is_followed_already_does_not_begin_again():
    followed = following(("n.1", "A", 1, 0))
    followed.offer(batch(1, 3), 0, 0.0)
    assert followed.registered([("n.1", "A", 2, 5)], 1.0) == []
    assert replay_rows(followed.ask(0, 1.0)) == [("n.1", "A", 4, 5)]


def test_what_since_or_resume_owes_is_asked_for_at_once():
    followed = following(("n.1", "A", 3, 10))
    assert replay_rows(followed.ask(0, 0.0)) == [("n.1", "A", 3, 10)]


def test_a_live_gap_is_asked_for_after_a_moment():
    followed = following(("n.1", "A", 1, 0))
    assert followed.offer(batch(3), 0, 1.0) == []
    assert followed.ask(0, 1.0) == []
    assert followed.ask_at == 1.0 + ASK_AFTER_S
    assert replay_rows(followed.ask(0, 1.0 + ASK_AFTER_S)) == [("n.1", "A", 1, 2)]


def test_a_gap_that_closes_by_itself_is_not_asked_for():
    followed = following(("n.1", "A", 1, 0))
    followed.learn(KEY, 2, 1.0)
    assert sequences(followed.offer(batch(1, 2), 0, 1.001)) == [1, 2]
    assert followed.ask(0, 2.0) == []
    assert not followed.behind


def test_only_one_request_is_under_way():
    followed = following(("n.1", "A", 1, 9))
    assert followed.ask(0, 0.0)
    assert followed.ask(0, 9.0) == []
    followed.answered(True, 9.0)
    assert followed.ask(0, 9.0)


def test_an_answer_without_news_is_followed_by_a_pause_that_grows():
    followed = following(("n.1", "A", 1, 9))
    pauses, now = [], 0.0
    for _ in range(8):
        assert followed.ask(0, now)
        followed.answered(False, now)
        pauses.append(round(followed.ask_at - now, 3))
        now = followed.ask_at
    assert pauses == [0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]


def test_a_full_queue_turns_a_live_frame_into_a_gap():
    followed = following(("n.1", "A", 1, 0), room=10)
    assert followed.offer(batch(1, 4), 10, 0.0) == []
    assert followed.ask(10, 1.0) == []
    assert followed.ask(6, 1.0) == []
    assert replay_rows(followed.ask(5, 1.0)) == [("n.1", "A", 1, 4)]


def test_no_more_is_asked_for_than_there_is_room():
    followed = following(("n.1", "A", 1, 100), ("n.1", "B", 1, 100), room=10)
    assert replay_rows(followed.ask(2, 0.0)) == [("n.1", "A", 1, 8)]


def test_frames_held_ahead_of_a_gap_are_bounded_by_the_room():
    followed = following(("n.1", "A", 1, 0), room=10)
    for first in range(2, 50, 4):
        followed.offer(batch(first, 4), 0, 0.0)
    runs = followed.offer(batch(1), 0, 0.0)
    assert sequences(runs) == list(range(1, 10))


def test_a_new_stream_is_owed_from_its_first_event():
    followed = following()
    followed.learn(KEY, 3, 0.0)
    assert replay_rows(followed.ask(0, 1.0)) == [("n.1", "A", 1, 3)]


def test_what_a_first_contact_lacks_is_skipped_and_reported():
    followed = following()
    followed.offer(batch(7, 2), 0, 0.0)
    skip, runs = followed.gone(KEY, Range(1, 6), 1.0)
    assert skip == Skip(1, 6, Range(1, 6))
    assert sequences(runs) == [7, 8]


def test_what_goes_missing_after_first_contact_is_lost():
    followed = following()
    followed.offer(batch(1), 0, 0.0)
    followed.offer(batch(4), 0, 0.0)
    skip, runs = followed.gone(KEY, Range(2, 3), 1.0)
    assert skip == Skip(2, 3, Range(2, 3))
    assert sequences(runs) == [4]


def test_after_a_detachment_what_was_asked_is_asked_again():
    followed = following(("n.1", "A", 1, 9))
    assert followed.ask(0, 0.0)
    followed.detached()
    assert followed.ask(0, 0.0)


@pytest.mark.parametrize(
    ("buried", "first", "offset", "pieces"),
    [
        ([], 1, 0, [(0, 4)]),
        ([2], 1, 0, [(0, 1), (2, 4)]),
        ([1, 4], 1, 0, [(1, 3)]),
        ([2, 3], 1, 0, [(0, 1), (3, 4)]),
        ([1, 2, 3, 4], 1, 0, []),
        ([1], 1, 2, [(2, 4)]),
        ([9], 1, 0, [(0, 4)]),
        ([7], 5, 1, [(1, 2), (3, 4)]),
    ],
)
def test_a_run_is_handed_on_without_its_buried_events(buried, first, offset, pieces):
    followed = following(("n.1", "A", 1, 0))
    for sequence in buried:
        followed.bury(KEY, sequence)
    assert followed.pieces(Run(batch(first, 4), offset)) == pieces


def test_buried_events_of_several_frames_are_left_out_of_each():
    followed = following(("n.1", "A", 1, 0))
    for sequence in (2, 5):
        followed.bury(KEY, sequence)
    assert [followed.pieces(Run(batch(first, 3), 0)) for first in (1, 4, 7)] == [
        [(0, 1), (2, 3)],
        [(0, 1), (2, 3)],
        [(0, 3)],
    ]


@given(st.lists(st.tuples(st.sampled_from(["live", "drop", "beacon", "pull", "gone", "reattach"]), st.integers(1, 5))))
def test_every_event_of_a_stream_is_handed_on_once_and_in_order(steps):
    followed, handed, head, log, now = following(("n.1", "A", 1, 0), room=20), [], 0, [], 0.0
    skipped: set[int] = set()

    def take(runs) -> None:
        handed.extend(sequences(runs))

    def pull() -> None:
        for _, range_ in followed.ask(0, now):
            for each in log:
                if each.first <= range_.last and each.first + each.count > range_.first:
                    take(followed.offer(each, 0, now))
            followed.answered(True, now)

    for step, count in steps:
        now += 1.0
        if step in ("live", "drop"):
            log.append(batch(head + 1, count))
            head += count
            if step == "live":
                take(followed.offer(log[-1], 0, now))
        elif step == "beacon":
            followed.learn(KEY, head, now)
        elif step == "pull":
            pull()
        elif step == "reattach":
            followed.detached()
            followed.registered([("n.1", "A", 1, head)], now)
        elif log:
            lost = log[0]
            skip, runs = followed.gone(KEY, Range(lost.first, lost.first + lost.count - 1), now)
            skipped |= set(range(skip.lost.first, skip.lost.last + 1)) if skip else set()
            take(runs)
    followed.learn(KEY, head, now)
    for _ in range(head + 1):
        now += 1.0
        pull()
    assert handed == [n for n in range(1, head + 1) if n not in skipped]
    assert not followed.behind


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("frame"), st.integers(1, 20), st.integers(1, 4)),
            st.tuples(st.just("learn"), st.integers(1, 25), st.just(0)),
            st.tuples(st.just("bury"), st.integers(1, 20), st.just(0)),
            st.tuples(st.just("gone"), st.integers(1, 12), st.integers(0, 5)),
        ),
        max_size=30,
    )
)
def test_the_short_way_of_a_frame_that_goes_on_leads_where_the_long_one_does(steps):
    short, long, key = following(("n.1", "A", 1, 0)), following(("n.1", "A", 1, 0)), ("n.1", "A")
    for step, first, count in steps:
        if step == "frame":
            one = batch(first, count)
            expected = pieces(long, long.offer(one, 0, 1.0))
            found = [(first, 0, count)] if short.goes_on(one) else pieces(short, short.offer(one, 0, 1.0))
            assert found == expected
        elif step == "learn":
            for each in (short, long):
                each.learn(key, first, 1.0)
        elif step == "bury":
            for each in (short, long):
                each.bury(key, first)
        else:
            skips = [each.gone(key, Range(first, first + count), 1.0) for each in (short, long)]
            assert skips[0][0] == skips[1][0]
            assert pieces(short, skips[0][1]) == pieces(long, skips[1][1])
        assert (short.behind, short.ask_at) == (long.behind, long.ask_at)
    assert short.ask(0, 99.0) == long.ask(0, 99.0)


def pieces(follower: Following, runs: list[Run[Batch]]) -> list[tuple[int, int, int]]:
    return [(run.item.first, start, stop) for run in runs for start, stop in follower.pieces(run)]
