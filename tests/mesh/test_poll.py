"""The I/O thread's one place to sleep, on real sockets."""

import threading

import pytest
import zmq

from mesh.poll import Poll


@pytest.fixture
def pairs():
    """Two connected pairs of sockets: [(near, far), (near, far)]."""
    context = zmq.Context()
    made = []
    for index in range(2):
        near, far = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        near.bind(f"inproc://{index}")
        far.connect(f"inproc://{index}")
        made.append((near, far))
    yield made
    context.destroy(linger=0)


def test_sleep_ends_with_the_sockets_that_have_something_and_only_these(pairs):
    (first, _), (second, far) = pairs
    poll = Poll()
    poll.watch((first, second))
    far.send(b"x")
    assert poll.sleep(10.0) == [second]
    second.recv()
    assert poll.sleep(0.0) == []


def test_a_call_from_another_thread_ends_one_sleep_and_is_no_socket(pairs):
    poll = Poll()
    poll.watch(near for near, _ in pairs)
    caller = threading.Thread(target=lambda: [poll.wake(), poll.wake()])
    caller.start()
    assert poll.sleep(10.0) == []
    caller.join()
    poll.wake()
    assert poll.sleep(10.0) == []


def test_what_is_not_watched_any_more_wakes_nobody(pairs):
    (first, far), _ = pairs
    poll = Poll()
    poll.watch((first,))
    poll.watch(())
    far.send(b"x")
    assert poll.sleep(0.0) == []
