"""Snapshots: what they hold, how often they are taken, and what a disk that cannot be read leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.clock import Now
from node.durations import Durations
from node.metrics import exposition
from node.snapshot import Snapshot, Snapshots
from node.store import StoreError
from tests.node.workbench import START, Author, Bench, Program, after, failure


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def snapshots(bench: Bench) -> Snapshots:
    return Snapshots(bench.node, Durations(), "1.0", START.wall_us, lambda: bench.now)


def take(snapshots: Snapshots, bench: Bench) -> Snapshot:
    return snapshots.take(bench.now)


def told(bench: Bench) -> tuple[Author, Program, int]:
    """A publisher, a program that subscribes to A, and its subscription's number."""
    author, program = Author(), Program(bench, "reader")
    bench.greet(author)
    program.attach()
    return author, program, program.subscribe("c", "A")[0]


def test_a_snapshot_holds_the_parts_of_the_status(bench: Bench, snapshots: Snapshots) -> None:
    author, program, sub = told(bench)
    bench.peer("b", "A")
    bench.turn(author.frame("A", 1, 2, 2, 3))
    program.report(sub, [bench.origin, "A", 0, 2, [failure(1, kind="timeout")], []])
    status = take(snapshots, bench).status
    assert {key: status["node"][key] for key in ("name", "origin", "trouble")} == {
        "name": "a",
        "origin": bench.origin,
        "trouble": None,
    }
    assert [(row["name"], row["link"], row["sent"]) for row in status["peers"]] == [("b", "up", 1)]
    assert status["event_subscription_status"]["ready"]
    assert status["handler_timeouts"] == {"total": 1, "by_topic": {"A": 1}, "by_consumer": {"c": 1}}
    assert (status["dlq"]["waiting"], status["dlq"]["dead"]) == (1, 0)
    assert status["dedup"] == {"remembered": 4, "duplicates": 1}, "one of them tells of the timeout"
    (row,) = status["consumers"]
    assert (row["consumer"], row["state"], row["lag"], row["lag_age_s"]) == ("c", "attached", 1, 0.0)
    assert (row["settled"], row["failed"]) == (1, 1)
    assert status["counts"]["published"] == 3


def test_the_logs_size_is_the_one_that_counting_finds(bench: Bench, snapshots: Snapshots) -> None:
    assert take(snapshots, bench).status["log"]["events"] == 0
    author, _, _ = told(bench)
    for number in range(20):
        bench.turn(author.frame("A", *range(10 * number, 10 * number + 10)))
    bench.limits = bench.limits._replace(events=55)
    bench.restart()
    bench.turn(later_s=1)
    counted = bench.state.log_sizes.size()
    assert 0 < counted["events"] < 200
    assert bench.state.log_sizes.extent() == {key: value for key, value in counted.items() if key != "batches"}


def test_a_snapshot_is_due_once_a_second(bench: Bench, snapshots: Snapshots) -> None:
    assert snapshots.due(START)
    snapshots.take(START)
    assert [snapshots.due(after(START, seconds)) for seconds in (0, 0.999, 1.0)] == [False, False, True]


def test_a_snapshot_does_not_change_afterwards(bench: Bench, snapshots: Snapshots) -> None:
    author, _, _ = told(bench)
    before = take(snapshots, bench)
    said = exposition(before)
    bench.turn(author.frame("A", 1))
    assert before.status["consumers"][0]["lag"] == 0
    assert exposition(before) == said
    assert "published" not in before.counts


def test_what_is_missing_and_what_the_disk_refuses_make_a_node_unready(
    bench: Bench, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, program, _ = told(bench)
    bench.turn(requests=[program.request("wiring", groups={}, critical=["A", "B"])])
    missing = "critical subscription B: no consumer is attached"
    assert take(snapshots, bench).unready == (missing,)

    def full(changes: object) -> None:
        raise StoreError("Full", "database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "commit", full)
        bench.turn(author.frame("A", 1))
        reasons = take(snapshots, bench).unready
    assert reasons == (missing, "no event is receipted: the database refused (Full): database or disk is full")
    program.subscribe("d", "B")
    bench.turn(later_s=2)
    assert take(snapshots, bench).unready == ()


def test_what_cannot_be_read_stays_as_it_was(
    bench: Bench, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, _, _ = told(bench)
    bench.turn(author.frame("A", 1, 2))
    before = take(snapshots, bench).status

    def broken(*_: object) -> None:
        raise StoreError("IOError", "disk I/O error")

    monkeypatch.setattr(bench.state.log_sizes, "extent", broken)
    assert take(snapshots, bench).status["log"] == before["log"]


def test_letters_are_counted_as_seldom_as_it_is_dear(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(Now(0, microseconds) for microseconds in (0, 50_000, 10_050_000, 10_050_000))
    snapshots = Snapshots(bench.node, Durations(), "1.0", 0, lambda: next(moments))
    counted = []
    monkeypatch.setattr(bench.state.letters, "counts", lambda: counted.append(1) or [])
    found = []
    for second in range(12):
        snapshots.take(Now(0, second * 1_000_000))
        found.append(len(counted))
    assert found == [*[1] * 11, 2], "a count of 50 ms is good for ten seconds"


def test_metrics_are_in_the_words_of_prometheus(bench: Bench, snapshots: Snapshots) -> None:
    author, program, sub = told(bench)
    bench.peer('b"\\', "A")
    bench.turn(author.frame("A", 1, 1, 2))
    bench.turn(requests=[program.request("wiring", groups={}, critical=["A", "B"])])
    program.report(sub, [bench.origin, "A", 0, 1, [failure(1, kind="timeout")], []])
    bench.turn(b"garbage", b"A\x00garbage")
    bench.node.counts["refused connection: no handshake"] += 2
    bench.node.counts["refused connection: a web client"] += 1
    lines = exposition(take(snapshots, bench)).decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    expected = {
        "mesh_ready": "0.0",
        "mesh_events_published_total": "2.0",
        "mesh_events_duplicate_total": "1.0",
        "mesh_handler_timeouts_total": "1.0",
        'mesh_refused_total{kind="malformed topic"}': "1.0",
        'mesh_refused_total{kind="malformed truncated"}': "1.0",
        'mesh_refused_total{kind="refused connection"}': "3.0",
        'mesh_peer_up{peer="b\\"\\\\"}': "1.0",
        'mesh_peer_frames_sent_total{peer="b\\"\\\\"}': "1.0",
        'mesh_dlq_letters{state="waiting"}': "1.0",
        'mesh_consumer_lag_events{consumer="c"}': "1.0",
        'mesh_consumer_failed_total{consumer="c"}': "1.0",
        'mesh_critical_subscription_held{topic="A"}': "1.0",
        'mesh_critical_subscription_held{topic="B"}': "0.0",
        "mesh_log_events": "3.0",  # one of them tells of the timeout
        'mesh_turn_seconds_bucket{le="+Inf"}': "0.0",
    }
    assert {name: values.get(name) for name in expected} == expected


def test_with_ten_thousand_streams_a_snapshot_looks_at_one_consumer_and_says_which_are_not_counted_yet(
    bench: Bench, snapshots: Snapshots
) -> None:
    program = Program(bench, "reader")
    program.attach()
    for name in ("a", "b", "c"):
        program.subscribe(name, "*")
    for number in range(10_000):
        bench.state.relay._stream("x.1", f"T{number}", 0).head = 5
    lags = [[row["lag"] for row in take(snapshots, bench).status["consumers"]] for _ in range(3)]
    assert lags == [[50_000, None, None], [50_000, 50_000, None], [50_000] * 3]
    assert b'mesh_consumer_lag_events{consumer="c"} 50000.0' in exposition(take(snapshots, bench))
