"""Whatever is thrown at a node or a program is one clear error or a counted rejection, and everything else goes on."""

from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import psutil
import pytest
import zmq

import mesh
from mesh.client import NodeClient
from mesh.frame import Frame, encode
from mesh.requests import session_topic
from tests.conditions import eventually
from tests.processes.cluster import ROOT, ask, command, linked
from tests.processes.raw import (
    SESSION,
    WRONG_VALUES,
    RawSession,
    bad_frames,
    frame,
    raw_sockets,
    record,
    say_plainly,
    wrong_shapes,
)

pytestmark = pytest.mark.processes


class Witness:
    """A program that was there before, and for which nothing may change: it publishes and gets what it publishes."""

    def __init__(self, node):
        self.node, self.pid = node, node.pid
        self._bus = mesh.connect(node.data_dir, name="witness")
        self._received = []
        self._numbers = itertools.count()
        self._bus.subscribe("WITNESS", lambda event: self._received.append(event.payload["i"]))

    def assert_all_is_well(self):
        """Events pass, the process is the one it was, and its log tells of no accident."""
        assert psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        number = next(self._numbers)
        assert self._bus.publish("WITNESS", {"i": number}).wait(10.0).status == "accepted"
        eventually(lambda: self._received[-1:] == [number])
        assert self._received == list(range(number + 1))
        assert self.node.pid == self.pid
        words = (self.node.data_dir / "node.log").read_text()
        assert "Traceback" not in words, words[-3000:]
        assert ask(self.node, "status")["node"]["trouble"] is None

    def close(self):
        self._bus.close()


@pytest.fixture
def node(cluster):
    return cluster.node("a")


@pytest.fixture
def witness(node):
    witness = Witness(node)
    yield witness
    witness.close()


def refusals(node):
    """How often the node has counted something it did not take."""
    kinds = ("malformed", "rejected", "out of turn", "refused", "repeated", "from strangers")
    return sum(count for name, count in ask(node, "status")["counts"].items() if name.startswith(kinds))


def run_node(*flags, **variables):
    """Run `mesh-node` that is expected not to start: (exit code, lines on standard error)."""
    line = [sys.executable, "-m", "node", *flags]
    done = subprocess.run(
        line, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


# ── programs that use the library wrongly ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("topic", "payload", "error", "words"),
    [
        ("T", {"x": "y" * (1 << 20)}, mesh.PayloadTooLarge, "at most 1048576 are allowed"),
        ("", {}, mesh.InvalidTopic, "non-empty"),
        ("a b", {}, mesh.InvalidTopic, "'a b' has white space"),
        ("a*", {}, mesh.InvalidTopic, "'*'"),
        ("!T", {}, mesh.InvalidTopic, "'!'"),
        ("ü" * 101, {}, mesh.InvalidTopic, "202 bytes"),
        ("T\ud800", {}, mesh.InvalidTopic, "surrogates"),
        (7, {}, mesh.InvalidTopic, "7"),
        ("T", [1], mesh.NotSerializable, "list"),
        ("T", {"x": {1, 2}}, mesh.NotSerializable, "set"),
        ("T", {"x": float("nan")}, mesh.NotSerializable, "nan"),
        ("T", {"x": 1 << 70}, mesh.NotSerializable, "64-bit"),
        ("T", {1: 2}, mesh.NotSerializable, "str"),
    ],
)
def test_a_wrong_topic_or_payload_is_the_callers_error_at_once(tmp_path, topic, payload, error, words):
    with mesh.connect(tmp_path) as bus, pytest.raises(error) as raised:
        bus.publish(topic, payload)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("a b", "{}"), "white space"),
        (("T", "[1]"), "no JSON object"),
        (("T", "{x}"), "JSON"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_an_event(node, witness, words, complaint):
    done = command(node, "pub", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert complaint in done.stderr
    witness.assert_all_is_well()


# ── nodes that are started wrongly ───────────────────────────────────────────────────────────────────────────────────


def test_a_second_node_on_the_same_data_directory_is_refused(node, witness):
    code, lines = run_node("--data-dir", str(node.data_dir), "--listen", "tcp://127.0.0.1:0")
    assert (code, len(lines)) == (2, 1)
    assert f"another node runs on {node.data_dir}" in lines[0]
    witness.assert_all_is_well()


def test_a_taken_port_is_refused_and_the_data_directory_is_free_again(cluster, node, witness):
    place = cluster.root / "b"
    code, lines = run_node("--data-dir", str(place), "--name", "b", "--listen", node.listen)
    assert (code, len(lines)) == (2, 1)
    assert node.listen in lines[0]
    assert "in use" in lines[0]
    witness.assert_all_is_well()
    assert cluster.node("b").origin


@pytest.mark.parametrize(
    ("flags", "variables", "words"),
    [
        ((), {"MESH_NODE_LISTENS": "tcp://127.0.0.1:0"}, "MESH_NODE_LISTENS"),
        ((), {"MESH_NODE_DEDUP_WINDOW_S": "soon"}, "dedup_window_s"),
        ((), {"MESH_NODE_DURABILITY": "perhaps"}, "durability"),
        (("--config", "no.toml"), {}, "no.toml"),
        (("--peer", "http://127.0.0.1:80"), {}, "http://127.0.0.1:80"),
        (("--listen", "tcp://127.0.0.1:99999"), {}, "tcp://127.0.0.1:99999"),
        (("--name", "a b"), {}, "a b"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(cluster, flags, variables, words):
    code, lines = run_node("--data-dir", str(cluster.root / "x"), *flags, **variables)
    assert (code, len(lines)) == (2, 1)
    assert words in lines[0]
    assert not (cluster.root / "x" / "node.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("dedup_windw_s = 3", "dedup_windw_s"), ("name = 3 3", "node.toml"), ("dead_after_s = 0.5", "dead_after_s")],
)
def test_a_wrong_configuration_file_is_named_in_one_line(cluster, text, words):
    file = cluster.root / "node.toml"
    file.write_text(text)
    code, lines = run_node("--data-dir", str(cluster.root / "x"), "--config", str(file))
    assert (code, len(lines)) == (2, 1)
    assert words in lines[0]


# ── strangers at the ports ───────────────────────────────────────────────────────────────────────────────────────────

SPEECHES = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    bytes(1000),
    b"\xff" * 1000,
    random.Random(7).randbytes(100_000),
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL" + b"\xff" * 200,
    b"",
]


def test_a_stranger_at_the_link_port_is_counted_and_harms_nobody(cluster, node, witness):
    other = cluster.node("b", node)
    linked(node, other)
    host, _, port = node.listen.removeprefix("tcp://").rpartition(":")
    before = refusals(node)
    for speech in SPEECHES:
        say_plainly((host, int(port)), speech)
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]

    eventually(lambda: refusals(node) > before, what="a counted refusal")
    witness.assert_all_is_well()
    linked(node, other)
    for each in silent:
        each.close()


def test_plain_bytes_at_the_local_sockets_harm_nobody(node, witness):
    for name, speech in itertools.product(("in", "out", "ctl"), SPEECHES):
        say_plainly(str(node.data_dir / f"{name}.sock"), speech)
    witness.assert_all_is_well()


class Http(BaseHTTPRequestHandler):
    """Answers anything with a page."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def http_port():
    server = HTTPServer(("127.0.0.1", 0), Http)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_node_that_dials_something_else_says_so_and_goes_on(cluster, http_port):
    a = cluster.node("a")
    web, nobody = f"tcp://127.0.0.1:{http_port}", "tcp://127.0.0.1:1"
    b = cluster.node("b", a, flags=("--peer", web, "--peer", nobody))
    witness = Witness(b)
    linked(a, b)

    def rows():
        found = {row["address"]: row for row in ask(b, "peers")["rows"]}
        return found if found[web]["reason"] else None

    found = eventually(rows, what="a reason at the web server's row")
    witness.assert_all_is_well()
    witness.close()
    assert {found[web]["link"], found[nobody]["link"]} <= {"down", "connecting"}
    assert found[a.listen]["link"] == "up"
    assert b.stop() == 0


# ── garbage in the sockets' own language ─────────────────────────────────────────────────────────────────────────────


def test_bad_frames_of_a_publisher_are_each_counted(node, witness):
    garbage = bad_frames()
    before = refusals(node)
    with raw_sockets(node) as sockets:
        publisher = sockets.publishing()
        for data in garbage:
            publisher.send(data)
        publisher.send_multipart([b"T\x00", b"two parts", b""])
        eventually(lambda: refusals(node) >= before + len(garbage) + 3)
    witness.assert_all_is_well()
    assert refusals(node) == before + len(garbage) + 3
    assert [row["topic"] for row in ask(node, "log.stats")["streams"]] == ["WITNESS"]


def test_a_frame_with_a_wrong_content_hash_is_receipted_as_rejected(node, witness):
    with raw_sockets(node) as sockets:
        session, publisher = RawSession(sockets), sockets.publishing()
        lies = record(b'{"i":1}').replace(b'{"i":1}', b'{"i":2}')
        publisher.send(encode(frame(events=lies)))
        assert session.out.poll(10_000)
        said = orjson.loads(session.out.recv()[len(session_topic(SESSION)) :])
    assert (said["t"], said["runs"]) == ("receipts", [])
    assert [(number, count, code) for number, count, code, _ in said["rejected"]] == [(1, 1, "hash")]
    witness.assert_all_is_well()


def test_a_message_beyond_every_bound_ends_only_its_own_connection(node, witness):
    huge = bytes(20 << 20)
    with raw_sockets(node) as sockets:
        publisher = sockets.publishing()
        ctl = sockets.socket(zmq.DEALER, sockets.endpoints.ctl)
        link = sockets.socket(zmq.DEALER, sockets.listen)
        ends = [each.get_monitor_socket(zmq.EVENT_DISCONNECTED) for each in (publisher, ctl, link)]
        for each in (publisher, ctl, link):
            each.send(huge)
        # not by what the publisher is told: where it looks late, the next connection's subscription is there already
        assert [end.poll(15_000) for end in ends] == [zmq.POLLIN] * 3
        witness.assert_all_is_well()
    assert psutil.Process(node.pid).memory_info().rss < 300 << 20


def test_odd_subscriptions_harm_nobody(node, witness):
    sessions = [b"!" + b"z" * 16 + b"\x00", b"!" + bytes(17), b"!" + "é".encode() * 8 + b"\x00"]
    odd = [b"", b"!", *sessions, b"@", b"~", b"\xff"]
    with raw_sockets(node) as sockets:
        for kind in (zmq.SUB, zmq.XSUB):
            each = sockets.socket(kind, sockets.endpoints.out)
            for prefix in (*odd, random.Random(1).randbytes(100_000)):
                if kind == zmq.SUB:
                    each.subscribe(prefix)
                    each.unsubscribe(prefix)
                else:
                    each.send(b"\x01" + prefix)
                    each.send(prefix or b"\x02")
                    each.send(b"\x00" + prefix)
            # once this is answered, everything before it has been read
            each.send(b"\x01@end") if kind == zmq.XSUB else each.subscribe(b"@end")
        RawSession(sockets)
    witness.assert_all_is_well()


def test_control_messages_that_are_none_are_counted(node, witness):
    words = (b"", b"\x00", b"{", b"[]", b"7", b"null", b'"x"', b"\xff" * 1000, b"[" * 9999)
    garbage = [*([word] for word in words), [b"", b"{}"]]
    before = refusals(node)
    with raw_sockets(node) as sockets:
        ctl = sockets.socket(zmq.DEALER, sockets.endpoints.ctl)
        for parts in garbage:
            ctl.send_multipart(parts)
        eventually(lambda: refusals(node) >= before + len(garbage))
    witness.assert_all_is_well()
    assert refusals(node) == before + len(garbage)


def requests():
    """A correct request of every kind, for `wrong_shapes` to spoil."""
    session = {"session": SESSION.hex()}
    failure = {"sequence": 1, "attempt": 1, "kind": "error", "error_type": "E", "error": "e", "traceback": ""}
    chosen = {"ids": [1], "state": "dead", "topic": "T", "consumer": "c", "older_than_s": 1, "after": 0, "limit": 5}
    yield {"do": "hello", **session, "name": "n", "pid": 1, "first": 1}
    yield {"do": "unsubscribe", **session, "sub": 99}
    yield {"do": "goodbye", "session": bytes(8).hex()}
    yield {"do": "report", **session, "subs": []}
    move = ["o.1", "T", 0, 1, [{**failure, "elapsed_s": 0.1}], [[1, 1]]]
    for i in range(6):
        for value in WRONG_VALUES:
            spoilt = [*move[:i], value, *move[i + 1 :]]
            yield {"do": "report", **session, "subs": [{"sub": 1, "moves": [spoilt], "letters": []}]}
    for value in WRONG_VALUES:
        yield {"do": "report", **session, "subs": [{"sub": 1, "moves": [], "letters": [value]}]}
        yield {"do": "report", **session, "subs": [{"sub": 1, "moves": [], "letters": [[value, value, value]]}]}
        yield {"do": "report", **session, "subs": [value]}
        yield {"do": "replay", **session, "ranges": [[value, value, value, value]], "bytes_max": 100}
        yield {"do": "replay", **session, "ranges": [["o.1", "T", value, 5]], "bytes_max": 100}
        yield {"do": "replay", **session, "ranges": [["o.1", "T", 1, value]], "bytes_max": value}
    yield {"do": "dlq.list", **chosen, "payloads": True}
    yield {"do": "dlq.list", **{key: value for key, value in chosen.items() if key != "ids"}}
    yield {"do": "dlq.show", "letter": 1}
    yield {"do": "dlq.retry", **chosen, "actor": "x", "dry_run": True}
    yield {"do": "dlq.discard", **chosen, "actor": "x", "dry_run": False}
    yield {"do": "log.tail", "pattern": "*", "limit": 5, "before": 5}
    yield {"do": "log.tail", "pattern": "*", "limit": 5, "after": 1}
    yield {"do": "log.tail", "pattern": "*", "limit": 5, "since": {"ago_us": 5}}
    yield {"do": "log.show", "event": "o.1/T/1"}
    for do in ("status", "peers", "consumers", "audit", "dlq.summary", "dlq.errors", "log.stats"):
        yield {"do": do}


def test_requests_of_every_wrong_shape_are_answered_and_change_nothing(node, witness):
    with raw_sockets(node) as sockets, NodeClient(node.data_dir) as client:
        session = RawSession(sockets)
        assert session.ask("subscribe", **session.subscribe_fields(1))["ok"]
        origin = node.origin
        sockets.publishing().send(encode(frame()))
        eventually(lambda: client.request("log.stats")["events"] == 1)
        sent = 0
        for good in requests():
            for spoilt in wrong_shapes(orjson.loads(orjson.dumps(good).replace(b'"o.1', f'"{origin}'.encode()))):
                sent += 1
                session.ctl.send(orjson.dumps({**spoilt, "id": sent}))
                while session.ctl.poll(0):
                    session.ctl.recv_multipart()
        assert client.request("status", timeout=30.0)
        witness.assert_all_is_well()
    assert sent > 5000
    assert ask(node, "audit")["balanced"]


@pytest.mark.parametrize("durable", [False, True])
def test_subscriptions_of_every_wrong_shape_are_answered(node, witness, durable):
    with raw_sockets(node) as sockets:
        session = RawSession(sockets)
        good = session.subscribe_fields(1, durable=durable, resume=[])
        waiting = []
        for number, spoilt in enumerate(wrong_shapes(good)):
            if spoilt.get("marker") == "m1":
                name = f"{spoilt['consumer']}{number}" if spoilt.get("consumer") == "raw 1" else spoilt.get("consumer")
                waiting.append(session.send("subscribe", **{**spoilt, "consumer": name}))
        for i, backoff in enumerate(itertools.product(WRONG_VALUES, repeat=2)):
            waiting.append(session.send("subscribe", **{**good, "consumer": f"b{i}", "backoff": backoff}))
        answered = set()
        while answered < set(waiting):
            assert session.ctl.poll(20_000), f"{len(waiting) - len(answered)} requests got no answer"
            answered.add(orjson.loads(session.ctl.recv_multipart()[0])["id"])
        witness.assert_all_is_well()
    witness.assert_all_is_well()


def test_reports_whose_failures_are_nonsense_are_refused_and_the_event_is_still_owed(node, witness):
    good = {"sequence": 1, "attempt": 1, "kind": "error", "error_type": "E", "error": "e", "traceback": "t"}
    good["elapsed_s"] = 0.1
    with raw_sockets(node) as sockets:
        session = RawSession(sockets)
        assert session.ask("subscribe", **session.subscribe_fields(1))["ok"]
        sockets.publishing().send(encode(frame()))
        eventually(lambda: "T" in [row["topic"] for row in ask(node, "log.stats")["streams"]])

        def report(failure):
            move = [node.origin, "T", 0, 1, [failure], []]
            return session.ask("report", subs=[{"sub": 1, "moves": [move], "letters": []}])

        # text where a number belongs, and the like: none of these is a failure
        for key, value in itertools.product(("sequence", "attempt"), ("x", "", [], {}, None)):
            assert not report({**good, key: value})["ok"], (key, value)
        for key, value in itertools.product(("error_type", "error", "traceback"), ([], {}, 7, None)):
            assert not report({**good, key: value})["ok"], (key, value)
        for key in ("sequence", "attempt", "kind", "error_type", "error", "traceback"):
            assert not report({name: each for name, each in good.items() if name != key})["ok"], key
        owed = {row["consumer"]: row["in_flight"] for row in ask(node, "audit")["consumers"]}
        assert owed["raw 1"] == 1
        assert report(good)["ok"]
        witness.assert_all_is_well()


def test_garbage_on_a_link_is_counted_and_the_other_links_go_on(cluster, node, witness):
    other = cluster.node("b", node)
    linked(node, other)
    foreign = Frame("T", 0, 0, SESSION, 1, 1, 1, "x.1", record(b'{"i":1}'))
    hello = {"t": "hello", "answer": False, "protocol": 1, "name": "x", "origin": "x.1", "version": "", "listen": ""}
    controls = [
        hello,
        {"t": "who"},
        {"t": "refuse", "reason": "x"},
        {"t": "ping", "at": 1},
        {"t": "pong", "at": 1, "wall_us": 1},
        {"t": "interest", "version": 1, "patterns": ["T"]},
        {"t": "interest_ack", "version": 1},
        {"t": "goodbye"},
        {"t": "nonsense"},
    ]
    odd = [encode(foreign._replace(hops=200)), b"\x00", b"\x00[]", b"\x00{"]
    garbage = [data for data in bad_frames() if not data.startswith(b"T\x00") or b"x.1" not in data] + odd
    before = refusals(node)
    with raw_sockets(node) as sockets:
        unknown = sockets.socket(zmq.DEALER, sockets.listen)  # has not greeted
        known = sockets.socket(zmq.DEALER, sockets.listen)
        known.send(b"\x00" + orjson.dumps(hello))
        for each in (unknown, known):
            for data in garbage:
                each.send(data)
            each.send_multipart([b"two", b"parts"])
            for good in controls:
                for spoilt in wrong_shapes(good):
                    each.send(b"\x00" + orjson.dumps(spoilt))
        eventually(lambda: refusals(node) >= before + 2 * len(garbage))
        witness.assert_all_is_well()
    witness.assert_all_is_well()
    linked(node, other)
