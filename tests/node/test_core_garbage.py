"""Whatever arrives, `turn()` returns: it is counted or refused, and the node goes on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.requests import unpack_control
from node.store import Store
from node.turn import CONTROL
from tests.node.workbench import Author, Bench, Program, answer, control, failure, forwarded, runs

NAMES = [
    *("id", "do", "session", "sub", "subs", "consumer", "pattern", "durable", "since", "attempts", "backoff"),
    *("timeout_s", "resume", "marker", "ranges", "bytes_max", "moves", "letters", "ids", "limit", "after", "state"),
    *("topic", "actor", "dry_run", "letter", "event", "first", "name", "pid", "patterns", "version", "at", "wall_us"),
    *("t", "origin", "protocol", "answer", "spare", "heads", "streams", "want", "failed_before_us", "reason"),
]
SESSION = b"......me".hex()
WORDS = [
    *(SESSION, "A", "*", "now", "earliest", "a.00000001", "a.00000001/A/1", "c", "waiting", "m1", "", "!", "[", "b"),
    *("hello", "interest", "ping", "pong", "interest_ack", "who", "refuse", "goodbye", "want", "heads"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.sampled_from([2**31, 2**62, 2**63 - 1, -(2**63), 2**64 - 1, 1e18, 1e300, -1e300, 0.5])
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
fields = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)


def good_requests(program: Program) -> list[dict[str, Any]]:
    """One good request of every kind a session may ask, to be bent."""
    origin = program.bench.origin
    _, subscribing = program.subscribing("c", "A")
    move = [origin, "A", 0, 2, [failure(1)], [[2, 2]]]
    made = [
        subscribing,
        program.request("hello", name="x", pid=1, first=1),
        program.request("unsubscribe", sub=1),
        program.reporting(1, move, letters=[[1, 2, failure(1, 2)]]),
        program.request("replay", ranges=[[origin, "A", 1, 2]], bytes_max=1000),
        program.request("goodbye"),
        *(program.request(do, ids=[1], limit=3) for do in program.bench.node.verbs if "." in do),
    ]
    return [orjson.loads(request[1]) for request in made]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def living(path: Path) -> tuple[Bench, Program]:
    """A node with a subscriber, an event, a letter and a linked peer."""
    bench = Bench(path, store=Store(":memory:"))
    program = Program(bench, "me")
    program.attach()
    sub, _ = program.subscribe("c", "A")
    author = Author()
    bench.greet(author)
    bench.turn(author.frame("A", 1, 2))
    program.report(sub, [bench.origin, "A", 0, 1, [failure(1)], []])
    bench.peer("b", "A")
    return bench, program


def check_alive(bench: Bench) -> None:
    """It still takes an event, answers, and the books balance."""
    for _ in range(3):
        bench.turn(later_s=2)
    author = Author("after")
    bench.greet(author)
    assert len(runs(bench.turn(author.frame("Z", bench.now.mono_us)), author)) == 1
    assert answer(bench.turn(requests=[bench.request("status")]))["ok"]
    assert bench.ask("audit")["balanced"], bench.ask("audit")
    assert bench.ask("dlq.list")["ok"]
    bench.store.close()


@given(
    st.lists(st.tuples(st.sampled_from(["frames", "out", "ctl", "links", "link"]), st.binary(max_size=120)), max_size=8)
)
def test_random_bytes_anywhere(garbage: list[tuple[str, bytes]]) -> None:
    bench, _ = living(Path("unused"))
    for place, data in garbage:
        bench.turn(
            *([data] if place == "frames" else []),
            subscriptions=[data] if place == "out" else [],
            requests=[[b"x", data], [data], []] if place == "ctl" else [],
            links=[(b"stranger", data)] if place == "links" else [("tcp://b:7270", data)] if place == "link" else [],
        )
    check_alive(bench)


@given(st.lists(st.tuples(st.integers(0, 99), fields), min_size=1, max_size=6))
def test_requests_of_every_kind_with_fields_that_are_wrong(bent: list[tuple[int, dict[str, Any]]]) -> None:
    bench, program = living(Path("unused"))
    good = good_requests(program)
    for which, wrong in bent:
        request = {**good[which % len(good)], **wrong}
        request["do"] = good[which % len(good)]["do"]
        turn = bench.turn(requests=[[b"x", orjson.dumps(request)]], subscriptions=[b"\x01@m1", b"\x01@m2"], later_s=1.1)
        for _, parts in turn.replies:
            unpack_control(parts[0])
    check_alive(bench)


@given(st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=5), values)
def test_reports_with_wrong_moves_failures_and_letters(parts: list[tuple[str, Any]], anything: Any) -> None:
    bench, program = living(Path("unused"))
    for move in (
        [bench.origin, "A", 1, 2, [{**failure(2), **dict(parts)}], []],
        [bench.origin, "A", 1, 2, anything, []],
        [bench.origin, "A", 1, 2, [], anything],
        [bench.origin, "A", 1, anything, [], []],
        anything,
    ):
        bench.turn(requests=[program.reporting(1, move, letters=[[1, 2, dict(parts)], anything])])  # type: ignore[list-item]
    check_alive(bench)


@given(st.lists(fields, min_size=1, max_size=6))
def test_control_of_a_peer_with_fields_that_are_wrong(messages: list[dict[str, Any]]) -> None:
    bench, _ = living(Path("unused"))
    for message in messages:
        bench.turn(links=[("tcp://b:7270", control(message)), (b"stranger", control(message))], later_s=0.6)
    check_alive(bench)


@pytest.mark.parametrize("absurd", [1e30, -1e30, "9" * 30])
@pytest.mark.parametrize(
    "message",
    [
        {"t": "interest", "version": ..., "lists": {"b": ["A"]}, "whole": True},
        {"t": "want", "id": ..., "ranges": [["a.00000001", "A", 1, 2]]},
        {"t": "want", "id": 1, "ranges": [["a.00000001", "A", 1, ...]]},
        {"t": "beacon", "heads": [["b.1", "A", ...]]},
        {"t": "heads", "heads": [["z.1", "A", ...]]},
        {"t": "interest_ack", "version": 1 << 32 | 1, "origins": ["b.1"], "heads": [["b.1", "A", ...]]},
    ],
)
def test_a_number_that_no_message_can_hold_is_counted_and_not_said_back(
    message: dict[str, Any], absurd: object
) -> None:
    bench, _ = living(Path("unused"))
    for number in (3, absurd):
        text = orjson.dumps(message, default=lambda _, number=number: number)
        bench.turn(links=[("tcp://b:7270", b"\x00" + text)])
    assert bench.node.counts["malformed control"] == 1
    check_alive(bench)


@pytest.mark.parametrize("depth", [300, 1015])
@pytest.mark.parametrize(
    "text",
    [
        b'{"t":"hello","protocol":DEEP}',
        b'{"t":"refuse","code":"name","reason":DEEP}',
        b'{"t":"ask","id":DEEP,"do":"audit","fields":{}}',
        b'{"do":"audit","id":DEEP}',
        b'{"do":DEEP,"id":1}',
    ],
)
def test_what_is_nested_too_deep_is_counted(text: bytes, depth: int) -> None:
    bench, _ = living(Path("unused"))
    deep = text.replace(b"DEEP", b"[" * depth + b"]" * depth)
    if b'"t"' in text:
        bench.turn(links=[(b"stranger", CONTROL + deep)])
        bench.turn(links=[("tcp://b:7270", CONTROL + deep)])
    else:
        bench.turn(requests=[[b"x", deep], [b"x", deep]])
    assert bench.node.counts["malformed control"] == 2
    check_alive(bench)


@given(st.data())
def test_frames_with_flipped_bytes(data: st.DataObject) -> None:
    bench, _ = living(Path("unused"))
    author = Author("flipper")
    bench.greet(author)
    good = [author.frame("A", 7, 8), forwarded(Author("far").at(1, "A", 9), "b.1", 1), author.ephemeral("A", 3)]
    for frame in good:
        bent = bytearray(frame)
        for _ in range(data.draw(st.integers(1, 3))):
            bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
        bench.turn(bytes(bent), links=[("tcp://b:7270", bytes(bent))])
    check_alive(bench)


def test_a_subscription_that_only_looks_like_a_session_is_counted(bench: Bench) -> None:
    bench.turn(subscriptions=[b"\x01!zzzzzzzzzzzzzzzz\x00", b"\x01!" + b"\xff" * 16 + b"\x00", b"", b"\x01", b"\x00!"])
    assert sum(count for name, count in bench.node.counts.items() if name.startswith("malformed")) >= 2


def test_a_payload_that_is_no_json_does_not_shut_anybody_out(tmp_path: Path) -> None:
    with TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        program, author = Program(bench, "me"), Author()
        program.attach()
        bench.greet(author)
        sub, _ = program.subscribe("c", "A")
        bench.turn(_raw_frame(author, b"\xff\xfe no json"))
        assert program.report(sub, [bench.origin, "A", 0, 1, [failure(1)], []])["ok"]
        assert [row["id"] for row in bench.ask("dlq.list")["rows"]] == [1]
        assert bench.ask("log.tail")["ok"]
        assert bench.ask("audit")["balanced"]
        bench.store.close()


def _raw_frame(author: Author, body: bytes) -> bytes:
    from mesh.frame import content_hash, encode, pack_record

    frame = author.at(1, "A", 1)
    return encode(frame._replace(events=pack_record(1, content_hash(b"A\x00", body), b"", body)))
