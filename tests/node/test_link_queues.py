"""The queues in front of full links: order, bound, counted drops."""

from node.link_queues import LinkQueues


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


def test_what_the_socket_takes_never_waits():
    socket = Socket(2)
    queues = LinkQueues(100, socket)
    queues.send("a", b"1")
    queues.send("a", b"2")
    assert socket.taken == [("a", b"1"), ("a", b"2")]
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
    assert socket.taken == [("a", b"1"), ("a", b"2"), ("a", b"3")]
    assert queues.blocked == []


def test_beyond_the_bound_messages_are_dropped_and_counted_once():
    queues = LinkQueues(10, Socket(0))
    for _ in range(5):
        queues.send("a", b"1234")
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
    assert socket.taken == [("b", b"2")]
    assert queues.blocked == ["a"]


def test_room_in_the_queue_is_given_back_as_it_empties():
    socket = Socket(0)
    queues = LinkQueues(4, socket)
    queues.send("a", b"1234")
    socket.room = 1
    queues.flush()
    queues.send("a", b"5678")
    assert queues.dropped() == []
    assert queues.blocked == ["a"]


def test_a_link_that_is_forgotten_counts_what_waited_for_it():
    queues = LinkQueues(100, Socket(0))
    queues.send("a", b"1")
    queues.send("a", b"2")
    queues.forget("a")
    assert queues.blocked == []
    assert queues.dropped() == [("a", 2)]


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
