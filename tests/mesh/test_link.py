"""One attachment's sockets against bare ones at the other end."""

import orjson
import pytest
import zmq

import mesh.link
from mesh.link import FRAMES_QUEUED_MAX, Link, context
from mesh.location import Endpoints
from mesh.requests import HEADS_TOPIC, pack_beacon, pack_directed, session_topic
from tests import forking
from tests.conditions import eventually

SESSION = b"12345678"
FRAME = b"A\x00frame"


class Node:
    """The three sockets a link connects to; bound one after the other."""

    def __init__(self, directory) -> None:
        self.endpoints = Endpoints(*(f"ipc://{directory}/{name}" for name in ("in", "out", "ctl")))
        self.context = zmq.Context()

    def bind(self) -> "Node":
        self.in_, self.out, self.ctl = (
            self._bound(kind, address)
            for kind, address in zip((zmq.XSUB, zmq.XPUB, zmq.ROUTER), self.endpoints, strict=True)
        )
        self.in_.send(b"\x01")
        return self

    def _bound(self, kind: int, address: str) -> "zmq.Socket[bytes]":
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.bind(address)
        return socket

    def meets(self, link: Link) -> bool | None:
        """What the link has heard, after the node has had a look at its socket."""
        self.in_.poll(0)
        return link.presence()

    def answer(self, peer: bytes, part: bytes, *blobs: bytes, **fields) -> None:
        self.ctl.send_multipart([peer, orjson.dumps({"ok": True, "id": orjson.loads(part)["id"], **fields}), *blobs])


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    node.context.destroy(linger=0)


@pytest.fixture
def link(node):
    link = Link(node.endpoints, SESSION)
    yield link
    link.close()


class Replies:
    """What came back, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, list[bytes], float]] = []

    def __call__(self, reply, blobs, now) -> None:
        self.seen.append((reply.get("n"), blobs, now))


def test_a_node_that_comes_and_goes_is_noticed(node, link):
    assert link.presence() is None
    node.bind()
    assert eventually(lambda: node.meets(link)) is True
    node.in_.close(linger=0)
    eventually(lambda: link.presence() is False)


def test_a_frame_is_taken_until_the_pipe_is_full_and_never_dropped(node, link):
    node.bind()
    eventually(lambda: node.meets(link))
    sent = 0
    while sent < 100 * FRAMES_QUEUED_MAX and link.send_frame(b"A\x00" + sent.to_bytes(4) + bytes(1000)):
        sent += 1
    assert FRAMES_QUEUED_MAX <= sent < 100 * FRAMES_QUEUED_MAX
    arrived = [int.from_bytes(node.in_.recv()[2:6]) for _ in range(sent)]
    assert arrived == list(range(sent))
    eventually(lambda: link.send_frame(FRAME))


def test_requests_wait_for_the_node_and_name_their_session(node, link):
    link.request("hello", {"pid": 7}, Replies(), 1.0)
    assert link.blocked
    node.bind()
    eventually(lambda: (link.push(), not link.blocked)[1])
    _, part = node.ctl.recv_multipart()
    assert orjson.loads(part) == {"do": "hello", "id": 1, "pid": 7, "session": SESSION.hex()}


def test_replies_find_whoever_asked_in_any_order_and_once(node, link):
    node.bind()
    eventually(lambda: node.meets(link))
    first, second = Replies(), Replies()
    link.request("a", {}, first, 1.0)
    link.request("b", {}, second, 2.0)
    eventually(lambda: (link.push(), not link.blocked)[1])
    assert link.waiting_since() == 1.0
    (peer, one), (_, two) = node.ctl.recv_multipart(), node.ctl.recv_multipart()
    node.answer(peer, two, b"blob", b"another", n=2)
    eventually(lambda: (link.replies(5.0), second.seen)[1])
    assert link.waiting_since() == 1.0
    node.answer(peer, two, n=3)
    node.answer(peer, one, n=1)
    eventually(lambda: (link.replies(6.0), first.seen)[1])
    assert (first.seen, second.seen) == ([(1, [], 6.0)], [(2, [b"blob", b"another"], 5.0)])
    assert link.waiting_since() is None


def test_messages_come_with_their_parts_and_no_more_at_once_than_asked_for(node, link):
    node.bind()
    wanted = {b"\x01" + session_topic(SESSION), b"\x01" + HEADS_TOPIC}
    assert {node.out.recv() for _ in range(2)} == wanted
    directed = pack_directed(SESSION, {"t": "redeliver"})
    node.out.send_multipart([directed, b"frame"])
    node.out.send(pack_directed(b"somebody", {"t": "goodbye"}))
    node.out.send(pack_beacon([("n.1", "A", 3)]))
    first = eventually(lambda: list(link.messages(1)))
    assert first == [(directed, [b"frame"])]
    assert eventually(lambda: list(link.messages(10))) == [(pack_beacon([("n.1", "A", 3)]), [])]


def test_a_child_process_has_a_context_of_its_own():
    mine = context()

    def act():
        assert context() is not mine

    assert forking.end(forking.begin(act)) == 0
    assert mesh.link.context() is mine
