"""The queues in front of full links: order, bound, counted drops."""

import orjson

from node.link_queues import LinkQueues
from node.turn import CONTROL


class Socket:
    """A socket that takes `room` messages and is then full."""

    def __init__(self, room):
        self.room = room
        self.taken = []

    def __call__(self, link, data):
        if self.room == 0:
            return False
        self.room -= 1
        self.taken.append((link, data))
        return True


def bytes_of(letter, size):
    return letter.encode() * size


def frames(socket):
    return [(link, data) for link, data in socket.taken if data[:1] != CONTROL]


def marks(socket):
    return [orjson.loads(data[1:])["put"] for _, data in socket.taken if data[:1] == CONTROL]


def test_what_the_socket_takes_never_waits():
    socket = Socket(3)
    queues = LinkQueues(100, socket)
    queues.send("a", b"1")
    queues.send("a", b"2")
    assert frames(socket) == [("a", b"1"), ("a", b"2")]
    assert queues.blocked == []


def test_what_waits_goes_out_in_order_and_nothing_overtakes_it():
    socket = Socket(0)
    queues = LinkQueues(100, socket)
    for data in (b"1", b"2"):
        queues.send("a", data)
    socket.room = 1
    queues.send("a", b"3")
    assert socket.taken == []
    socket.room = 10
    queues.flush()
    assert frames(socket) == [("a", b"1"), ("a", b"2"), ("a", b"3")]
    assert queues.blocked == []


def test_beyond_the_bound_messages_are_dropped_and_counted_once():
    queues = LinkQueues(1000, Socket(0))
    for _ in range(5):
        queues.send("a", bytes_of("F", 400))
    assert queues.dropped() == [("a", 3)]
    assert queues.dropped() == []
    assert queues.blocked == ["a"]


def test_a_full_link_does_not_hold_up_another():
    class OneFull(Socket):
        def __call__(self, link, data):
            return link == "b" and super().__call__(link, data)

    socket = OneFull(5)
    queues = LinkQueues(100, socket)
    queues.send("a", b"1")
    queues.send("b", b"2")
    assert frames(socket) == [("b", b"2")]
    assert queues.blocked == ["a"]


def test_room_in_the_queue_is_given_back_as_it_empties():
    socket = Socket(0)
    queues = LinkQueues(500, socket)
    queues.send("a", bytes_of("F", 400))
    socket.room = 2
    queues.flush()
    queues.send("a", bytes_of("F", 400))
    assert queues.dropped() == []
    assert queues.blocked == ["a"]


def test_a_link_that_is_forgotten_counts_what_waited_for_it():
    queues = LinkQueues(100, Socket(0))
    queues.send("a", b"1")
    queues.send("a", b"2")
    queues.forget("a")
    assert queues.blocked == []
    assert queues.dropped() == [("a", 3)]  # with the first one's mark


def test_a_link_found_gone_in_the_middle_of_a_flush_ends_it():
    sent = []

    def attempt(link, data):
        if sent:
            queues.forget(link)
        sent.append(data)
        return bool(waiting)

    waiting = []
    queues = LinkQueues(100, attempt)
    queues.send("a", b"1")
    queues.send("a", b"2")
    waiting.append(True)
    queues.flush()
    assert queues.blocked == []


# ── what the far end has not taken ───────────────────────────────────────────────────────────────────────────────────


def full(bytes_max):
    """Queues before a socket that takes everything, and a peer that has shown that it knows marks."""
    socket = Socket(10_000)
    queues = LinkQueues(bytes_max, socket)
    queues.send("a", bytes_of("F", 100))
    queues.took("a", marks(socket)[0])
    return socket, queues


def test_a_mark_follows_the_first_frame_and_then_every_eighth_of_the_bound():
    socket, queues = full(8000)
    assert marks(socket) == [100]
    for _ in range(30):
        queues.send("a", bytes_of("F", 100))
    assert [round(each, -3) for each in marks(socket)] == [0, 1000, 2000, 3000]
    assert [data[:1] for _, data in socket.taken[-2:]] == [b"F", CONTROL]


def test_talk_alone_is_not_marked():
    socket = Socket(100)
    queues = LinkQueues(800, socket)
    for _ in range(10):
        queues.send("a", CONTROL + bytes_of("{", 99))
    assert len(socket.taken) == 10


def test_what_a_socket_took_and_the_peer_did_not_counts_until_the_peer_says_that_it_did():
    socket, queues = full(8000)
    for _ in range(100):
        queues.send("a", bytes_of("F", 100))
    went = len(frames(socket))
    assert (75 <= went <= 80, queues.dropped(), queues.blocked) == (True, [("a", 101 - went)], [])
    queues.took("a", marks(socket)[-2])
    queues.send("a", bytes_of("F", 100))
    assert (len(frames(socket)), queues.dropped()) == (went + 1, [])


def test_marks_go_on_while_frames_are_dropped_so_that_no_lost_mark_closes_a_link_for_good():
    socket, queues = full(8000)
    for _ in range(200):
        queues.send("a", bytes_of("F", 100))
    assert len(marks(socket)) == 21
    queues.took("a", marks(socket)[-1])
    queues.dropped()
    for _ in range(70):
        queues.send("a", bytes_of("F", 100))
    assert queues.dropped() == []


def test_one_message_that_is_larger_than_the_bound_goes_out_alone():
    socket, queues = full(1000)
    queues.took("a", queues._queues["a"].put_bytes)
    queues.send("a", bytes_of("F", 5000))
    queues.send("a", bytes_of("F", 10))
    assert ([len(data) for _, data in frames(socket)], queues.dropped()) == ([100, 5000], [("a", 1)])


def test_a_peer_that_says_no_mark_back_is_not_held_to_what_it_takes():
    socket = Socket(10_000)
    queues = LinkQueues(8000, socket)
    for _ in range(200):
        queues.send("a", bytes_of("F", 100))
    assert (len(frames(socket)), queues.dropped()) == (200, [])
    queues, socket = full(8000)[::-1]
    queues.begin("a")
    for _ in range(200):
        queues.send("a", bytes_of("F", 100))
    assert (len(frames(socket)), queues.dropped()) == (201, [])


def test_a_mark_that_was_never_made_is_not_believed():
    _, queues = full(8000)
    for put in (10**9, -5, 3):
        queues.took("a", put)
    queues.took("nobody", 5)
    for _ in range(100):
        queues.send("a", bytes_of("F", 100))
    assert [link for link, _ in queues.dropped()] == ["a"]
