"""A batch gives its events as they would be if all had been made at once, whichever part of it is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.batch import BYTES_AT_ONCE, EVENTS_AT_ONCE, Batch
from tests.mesh.batches import batch, frame_of


def test_the_events_of_a_batch_know_their_place():
    (first, second) = batch(5, 2, position=40).events
    assert (first.id, first.position, second.id, second.position) == ("n.1/A/5", 40, "n.1/A/6", 41)
    assert (second.payload, second.attempt, second.replayed, second.time_us) == ({"x": 1}, 1, False, 5)


def shown(events) -> list[tuple]:
    return [(event.id, event.position, event.payload, event.time_us, event.hash) for event in events]


@given(st.integers(1, 3 * EVENTS_AT_ONCE), st.sampled_from([1, 1000, BYTES_AT_ONCE]), st.data())
def test_a_handler_is_given_any_run_of_a_batch_as_if_all_had_been_made(count, size, data):
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    one = Batch(frame_of(5, count, body=b'{"x":"%s"}' % (b"x" * size)), position=40)
    assert shown(one.passing(start, stop)) == shown(one.events[start:stop])


def test_the_handlers_of_several_subscriptions_are_given_the_same_events():
    frame = batch(5, 2).frame
    alone, shared = Batch(frame), Batch(frame, shared=True)
    assert not {*alone.passing(0, 2)} & {*alone.events}
    assert [*shared.passing(0, 1), *shared.passing(1, 2)] == shared.events
