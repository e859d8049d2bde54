"""The bus against a fake node: publishing, subscribing, failing, closing, over real sockets."""

import asyncio
import enum
import threading
import time
from datetime import datetime

import pytest

import mesh
from mesh.frame import encode
from tests import forking
from tests.mesh.fake_node import ORIGIN, eventually
from tests.mesh.handled import Handled


def session_of(bus):
    return bus._session.id


# ---- publishing


def test_a_published_event_is_receipted(node, bus):
    receipt = bus.publish("A", {"x": 1}, source="me", trace={"id": "t"})
    assert receipt.wait(10.0).status == "accepted"
    assert receipt.event_id == f"{ORIGIN}/A/1"


def test_events_keep_the_order_of_the_calls(node, bus):
    receipts = [bus.publish("A", {"n": n}) for n in range(5000)]
    assert bus.flush(10.0)
    assert [receipt.event_id for receipt in receipts] == [f"{ORIGIN}/A/{n}" for n in range(1, 5001)]
    assert len(node.frames) < 5000


def test_a_receipt_can_be_awaited(node, bus):
    async def scenario():
        return (await bus.publish("A", {"x": 1})).status

    assert asyncio.run(scenario()) == "accepted"


def test_an_enum_member_names_a_topic(node, bus):
    class Kind(enum.Enum):
        DONE = "TRAINING_COMPLETED"

    class Word(enum.StrEnum):
        DONE = "TRAINING_COMPLETED"

    assert bus.publish(Kind.DONE).wait(10.0).event_id == f"{ORIGIN}/TRAINING_COMPLETED/1"
    assert bus.publish(Word.DONE).wait(10.0).event_id == f"{ORIGIN}/TRAINING_COMPLETED/2"


def test_an_event_object_is_published_with_all_it_says(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    bus.publish(mesh.Event("A", {"x": 1}, source="me", trace={"id": 7}))

    class DataEvent:
        event_type = "A"
        source = "them"

        def __init__(self) -> None:
            self.payload = {"x": 2}

    bus.publish(DataEvent())
    eventually(lambda: len(handled.events) == 2)
    assert [(e.payload, e.source, e.trace) for e in handled.events] == [
        ({"x": 1}, "me", {"id": 7}),
        ({"x": 2}, "them", None),
    ]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("a b", {}), mesh.InvalidTopic),
        (("A*", {}), mesh.InvalidTopic),
        ((7, {}), mesh.InvalidTopic),
        (("A", [1]), mesh.NotSerializable),
        (("A", {"x": float("nan")}), mesh.NotSerializable),
        (("A", {"x": "y" * (1 << 20)}), mesh.PayloadTooLarge),
        ((mesh.Event("A"), {"x": 1}), mesh.InvalidOption),
    ],
)
def test_a_wrong_value_is_the_callers_error_at_once(tmp_path, args, error):
    with mesh.connect(tmp_path) as bus, pytest.raises(error):
        bus.publish(*args)


def test_a_full_buffer_is_an_error_at_once(tmp_path):
    with mesh.connect(tmp_path, buffer_events=2) as bus:
        bus.publish("A")
        bus.publish("A")
        with pytest.raises(mesh.BufferFull):
            bus.publish("A")
        bus.close(0.2)


def test_an_event_the_node_refuses_is_rejected_with_its_reason(node, bus):
    node.reject.add("A")
    receipt = bus.publish("A").wait(10.0)
    assert receipt.status == "rejected"
    assert isinstance(receipt.error, mesh.EventRejected)
    assert "this topic is refused" in str(receipt.error)


def test_dedup_false_travels_in_the_meta(node, bus):
    bus.publish("A", {}, dedup=False).wait(10.0)
    assert b'{"dedup":false}' in node.frames[0].events


def test_a_lost_frame_is_sent_again_when_the_next_one_arrives(node, bus):
    node.lose_frames = 1
    first = bus.publish("A", {"n": 1})
    eventually(lambda: node.lose_frames == 0)
    second = bus.publish("B", {"n": 2})
    assert (first.wait(10.0).event_id, second.wait(10.0).event_id) == (f"{ORIGIN}/A/1", f"{ORIGIN}/B/1")


def test_a_lost_receipt_is_asked_for_by_sending_again(node, bus, monkeypatch):
    monkeypatch.setattr(bus._outbox.flight, "_patience_s", 0.05)
    node.lose_receipts = 1
    assert bus.publish("A", {"n": 1}).wait(10.0).event_id == f"{ORIGIN}/A/1"
    assert [frame.number for frame in node.frames] == [1]


def test_what_a_dead_node_did_not_receipt_is_sent_to_its_successor(node, bus):
    node.lose_frames = 1_000_000
    receipts = [bus.publish(topic, {"n": n}) for n, topic in enumerate("AABBC")]
    eventually(lambda: node.lose_frames < 1_000_000)
    node.stop()
    eventually(lambda: not bus.attached)
    receipts.append(bus.publish("C", {"n": 5}))
    node.lose_frames = 0
    node.start()
    assert bus.flush(10.0)
    assert [receipt.event_id for receipt in receipts] == [
        f"{ORIGIN}/{i}" for i in ("A/1", "A/2", "B/1", "B/2", "C/1", "C/2")
    ]


def test_an_event_admitted_before_a_crash_is_not_admitted_twice(node, bus):
    node.lose_receipts = 1
    receipt = bus.publish("A", {"n": 1})
    eventually(lambda: node.frames)
    node.stop()
    node.start()
    assert receipt.wait(10.0).event_id == f"{ORIGIN}/A/1"
    assert len(node.frames) == 1


def test_an_ephemeral_event_is_delivered_and_not_numbered(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    receipt = bus.publish("A", {"x": 1}, ephemeral=True).wait(10.0)
    eventually(lambda: handled.events)
    assert (receipt.status, receipt.event_id) == ("accepted", "")
    assert (handled.events[0].payload, handled.events[0].sequence, handled.events[0].position) == ({"x": 1}, 0, 0)
    assert node.moves() == []


def test_flush_gives_up_after_its_time(tmp_path):
    with mesh.connect(tmp_path) as bus:
        assert bus.flush(0.0)
        bus.publish("A")
        assert not bus.flush(0.01)
        bus.close(0.2)


# ---- subscribing


def test_every_event_after_subscribe_is_delivered_in_order_and_settled(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    for n in range(500):
        bus.publish("A", {"n": n})
    eventually(lambda: len(handled.events) == 500)
    assert [payload["n"] for payload in handled.payloads] == list(range(500))
    eventually(lambda: node.settled("A") == 500)


def test_a_glob_takes_in_what_it_matches_and_nothing_else(node, bus):
    handled = Handled()
    bus.subscribe("gpu.*.up", handled)
    for topic in ("gpu.1.up", "gpu.1.down", "gpu.2.up", "gp"):
        bus.publish(topic).wait(10.0)
    bus.publish("gpu.last.up").wait(10.0)
    eventually(lambda: any(event.topic == "gpu.last.up" for event in handled.events))
    assert [event.topic for event in handled.events] == ["gpu.1.up", "gpu.2.up", "gpu.last.up"]


def test_the_decorator_subscribes_and_returns_the_function(node, bus):
    seen = []

    @bus.on("A", name="decorated")
    def handler(event):
        seen.append(event.payload)

    bus.publish("A", {"x": 1})
    eventually(lambda: seen == [{"x": 1}])
    handler(mesh.Event("A", {"x": 2}))
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"pattern": "a b"}, mesh.InvalidTopic),
        ({"since": "yesterday"}, mesh.InvalidOption),
        ({"since": datetime(2026, 1, 1)}, mesh.InvalidOption),
        ({"attempts": 0}, mesh.InvalidOption),
        ({"timeout": 0}, mesh.InvalidOption),
        ({"backoff": (2.0, 1.0)}, mesh.InvalidOption),
        ({"concurrency": 0}, mesh.InvalidOption),
        ({"queue": 0}, mesh.InvalidOption),
        ({"name": ""}, mesh.InvalidOption),
        ({"handler": None}, mesh.InvalidOption),
    ],
)
def test_a_wrong_option_is_refused_before_anything_happens(tmp_path, options, error):
    chosen = {"pattern": "A", "handler": print, **options}
    with mesh.connect(tmp_path) as bus:
        with pytest.raises(error):
            bus.subscribe(chosen.pop("pattern"), chosen.pop("handler"), **chosen)
        assert bus.list_subscribers() == {}


def test_since_earliest_is_pulled_from_the_log(node, bus):
    for n in range(30):
        bus.publish("A", {"n": n}).wait(10.0)
    handled = Handled()
    bus.subscribe("A", handled, since="earliest")
    eventually(lambda: len(handled.events) == 30)
    assert handled.sequences == list(range(1, 31))
    assert all(event.replayed for event in handled.events)
    eventually(lambda: node.settled("A") == 30)


def test_a_lost_live_frame_is_repaired_at_the_next_one(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    bus.publish("A", {"n": 1}).wait(10.0)
    node.lose_live = 1
    bus.publish("A", {"n": 2}).wait(10.0)
    bus.publish("A", {"n": 3}).wait(10.0)
    eventually(lambda: len(handled.events) == 3)
    assert [(event.sequence, event.replayed) for event in handled.events] == [(1, False), (2, True), (3, False)]


def test_a_lost_live_frame_is_repaired_at_the_next_beacon(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    node.lose_live = 1
    bus.publish("A", {"n": 1}).wait(10.0)
    node.beacon()
    eventually(lambda: handled.sequences == [1])


def test_a_frame_with_a_flipped_bit_is_dropped_and_repaired(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    node.lose_live = 1
    bus.publish("A", {"n": 1}).wait(10.0)
    spoiled = bytearray(encode(node.log[0]) + bytes(8))
    spoiled[60] ^= 1
    node.spoil_live(bytes(spoiled))
    node.beacon()
    eventually(lambda: handled.sequences == [1])
    assert handled.payloads == [{"n": 1}]


def test_what_the_log_no_longer_has_is_reported_as_lost(node, bus):
    for n in range(10):
        bus.publish("A", {"n": n}).wait(10.0)
    node.gone_to["A"] = 4
    handled = Handled()
    bus.subscribe("A", handled, since="earliest")
    eventually(lambda: node.settled("A") == 10)
    assert handled.sequences == [5, 6, 7, 8, 9, 10]
    assert [lost for move in node.moves() for lost in move[5]] == [[1, 4]]


def test_a_slow_handler_loses_nothing_when_its_queue_is_full(node, bus):
    handled, gate = Handled(), threading.Event()

    def slow(event):
        gate.wait(10.0)
        handled(event)

    bus.subscribe("A", slow, queue=10)
    for n in range(200):
        bus.publish("A", {"n": n}).wait(10.0)
    gate.set()
    eventually(lambda: len(handled.events) == 200)
    assert handled.sequences == list(range(1, 201))


@pytest.mark.parametrize("code", ["held", "disk", "hello"])
def test_a_subscription_that_the_restarted_node_cannot_take_yet_is_tried_again(node, bus, monkeypatch, code):
    monkeypatch.setattr(mesh.courses, "REGISTER_AGAIN_S", 0.05)
    handled = Handled()
    bus.subscribe("A", handled)
    asked = len(node.asked("subscribe"))
    node.stop()
    node.refuse["subscribe"] = (code, "not now")
    node.start()
    eventually(lambda: len(node.asked("subscribe")) > asked)
    del node.refuse["subscribe"]
    bus.publish("A", {"n": 1})
    eventually(lambda: handled.payloads == [{"n": 1}])


def test_after_a_restart_of_the_node_a_subscription_goes_on_where_it_was(node, bus):
    handled = Handled()
    bus.subscribe("A", handled)
    bus.publish("A", {"n": 1}).wait(10.0)
    eventually(lambda: node.settled("A") == 1)
    node.stop()
    eventually(lambda: not bus.attached)
    receipt = bus.publish("A", {"n": 2})
    node.start()
    assert receipt.wait(10.0).status == "accepted"
    eventually(lambda: handled.sequences == [1, 2])
    eventually(lambda: node.settled("A") == 2)
    assert node.asked("subscribe")[1]["resume"] == [[ORIGIN, "A", 1]]


def test_a_report_the_dead_node_never_answered_reaches_its_successor(node, bus):
    node.refuse["report"] = ("busy", "not now")
    handled = Handled()
    bus.subscribe("A", handled)
    bus.publish("A", {"n": 1}).wait(10.0)
    eventually(lambda: node.asked("report"))
    node.stop()
    del node.refuse["report"]
    node.requests.clear()
    node.start()
    eventually(lambda: node.moves() == [[ORIGIN, "A", 0, 1, [], []]])


def test_with_several_at_once_a_late_event_holds_the_cursor_back(node, bus):
    gate, handled = threading.Event(), Handled()

    def handler(event):
        if event.sequence == 1:
            gate.wait(10.0)
        handled(event)

    bus.subscribe("A", handler, concurrency=3)
    for n in range(6):
        bus.publish("A", {"n": n}).wait(10.0)
    eventually(lambda: len(handled.events) == 5)
    assert node.settled("A") == 0
    gate.set()
    eventually(lambda: node.settled("A") == 6)


def test_a_handler_may_publish(node, bus):
    handled = Handled()
    bus.subscribe("A", lambda event: bus.publish("B", {"from": event.sequence}).wait(10.0))
    bus.subscribe("B", handled)
    bus.publish("A")
    eventually(lambda: handled.payloads == [{"from": 1}])


def test_buried_events_are_passed_without_the_handler_live_and_replayed_and_reported_as_nothing(node, bus):
    node.skip = [(ORIGIN, "A", sequence) for sequence in (2, 3, 6, 8)]
    for n in range(1, 5):
        bus.publish("A", {"n": n}).wait(10.0)
    handled = Handled()
    bus.subscribe("A", handled, durable=True, since="earliest")
    bus.publish("A", {"n": 5}).wait(10.0)
    bus.publish("A", {"n": 6}).wait(10.0)
    for n in range(7, 10):
        bus.publish("A", {"n": n})
    eventually(lambda: node.settled("A") == 9)
    assert handled.sequences == [1, 4, 5, 7, 9]
    assert [move[4:] for move in node.moves()] == [[[], []]] * len(node.moves())


# ---- failing


def failures(node):
    return [failure for move in node.moves() for failure in move[4]]


def test_an_exception_fails_the_event_with_all_one_needs_to_know(node, bus):
    def handler(event):
        raise KeyError("gpu")

    bus.subscribe("A", handler)
    bus.publish("A", {"n": 1})
    (failure,) = eventually(lambda: failures(node))
    assert (failure["sequence"], failure["attempt"], failure["kind"]) == (1, 1, "error")
    assert (failure["error_type"], failure["error"]) == ("KeyError", "'gpu'")
    assert 'raise KeyError("gpu")' in failure["traceback"]
    assert 0 <= failure["elapsed_s"] < 10


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("half \ud800 a pair", "half \\ud800 a"),
        ("nul \x00", "nul \\x00"),
        ("x" * 10_000_000, "xxx"),
        ("\udfff" * 1_000_000, "\\udfff\\udfff"),
    ],
    ids=["surrogate", "nul", "huge", "huge surrogates"],
)
def test_no_message_of_an_exception_can_break_a_report(node, bus, message, begins):
    def handler(event):
        raise ValueError(message)

    bus.subscribe("A", handler)
    bus.publish("A", {"n": 1}).wait(10.0)
    bus.publish("A", {"n": 2}).wait(10.0)
    eventually(lambda: node.settled("A") == 2)
    assert [failure["error"].startswith(begins) for failure in failures(node)] == [True, True]
    assert len(node.asked("hello")) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_an_exception_that_would_end_a_thread_is_a_failure_too(node, bus, kind):
    handled = Handled()

    def handler(event):
        handled(event)
        if event.sequence == 1:
            raise kind

    bus.subscribe("A", handler)
    bus.publish("A").wait(10.0)
    bus.publish("A", {"n": 2})
    eventually(lambda: handled.sequences == [1, 2])
    (failure,) = eventually(lambda: failures(node))
    assert failure["error_type"].endswith(kind.__name__)


def test_a_handler_that_takes_too_long_fails_and_the_next_event_goes_on(node, bus):
    release, handled = threading.Event(), Handled()

    def handler(event):
        if event.sequence == 1:
            release.wait(10.0)
        handled(event)

    sub = bus.subscribe("A", handler, timeout=0.05)
    bus.publish("A").wait(10.0)
    bus.publish("A", {"n": 2}).wait(10.0)
    eventually(lambda: handled.sequences == [2])
    (failure,) = eventually(lambda: failures(node))
    assert (failure["sequence"], failure["kind"], failure["error_type"]) == (1, "timeout", "TimeoutError")
    assert "release.wait(10.0)" in failure["traceback"]
    release.set()
    eventually(lambda: sub._course.runner.late == 1)
    assert len(failures(node)) == 1


def test_a_failed_event_is_redelivered_to_this_subscription_and_its_outcome_reported(node, bus):
    attempts = []

    def handler(event):
        attempts.append((event.attempt, event.sequence, event.replayed))
        if event.attempt < 3:
            raise ValueError("not yet")

    bus.subscribe("A", handler)
    bus.publish("A", {"n": 1})
    eventually(lambda: failures(node))
    (sub,) = node.subscriptions
    node.redeliver(session_of(bus), sub, 77, 2, node.log[0])
    (letter,) = eventually(node.letters)
    assert (letter[0], letter[1], letter[2]["error_type"], letter[2]["attempt"]) == (77, 2, "ValueError", 2)
    node.redeliver(session_of(bus), sub, 77, 3, node.log[0])
    eventually(lambda: node.letters()[1:] == [[77, 3, None]])
    assert attempts == [(1, 1, False), (2, 1, True), (3, 1, True)]


def test_a_redelivery_that_ended_while_the_node_was_away_is_not_handled_again(node, bus):
    attempts, release = [], threading.Event()

    def handler(event):
        attempts.append(event.attempt)
        if event.attempt == 1:
            raise ValueError("not yet")
        release.wait(10.0)

    bus.subscribe("A", handler)
    bus.publish("A", {"n": 1})
    eventually(lambda: failures(node))
    (sub,) = node.subscriptions
    node.redeliver(session_of(bus), sub, 77, 2, node.log[0])
    eventually(lambda: attempts == [1, 2])
    node.stop()
    release.set()
    node.muted.add("report")
    node.start()
    eventually(node.letters)
    node.redeliver(session_of(bus), sub, 77, 2, node.log[0])
    bus.publish("A", {"n": 2})
    eventually(lambda: attempts[2:])
    assert attempts == [1, 2, 1]


def test_a_subscription_that_ended_while_the_node_was_away_reports_and_hears_nothing_more(node, bus):
    begun, release = threading.Event(), threading.Event()

    def handler(event):
        begun.set()
        release.wait(10.0)

    sub = bus.subscribe("A", handler)
    bus.publish("A", {"n": 1})
    assert begun.wait(10.0)
    node.stop()
    sub.close(timeout=0.05)
    release.set()
    node.start()
    eventually(lambda: node.settled("A") == 1)
    eventually(lambda: node.asked("unsubscribe"))
    prefix = sub._course.options.pattern.prefix
    eventually(lambda: prefix not in node._prefixes)


# ---- coroutine handlers


def test_a_coroutine_handler_without_a_loop_runs_on_the_bus_own_loop(node, bus):
    handled, threads = Handled(), set()

    async def handler(event):
        await asyncio.sleep(0)
        threads.add(threading.current_thread().name)
        handled(event)

    bus.subscribe("A", handler)
    for n in range(100):
        bus.publish("A", {"n": n})
    eventually(lambda: handled.sequences == list(range(1, 101)))
    assert threads == {"mesh loop test"}
    eventually(lambda: node.settled("A") == 100)


def test_a_coroutine_handler_runs_on_the_loop_it_was_subscribed_on(node):
    async def scenario():
        handled, done = Handled(), asyncio.Event()

        async def handler(event):
            assert asyncio.get_running_loop() is loop
            handled(event)
            if event.payload["n"] == 9:
                done.set()

        loop = asyncio.get_running_loop()
        async with mesh.connect(node.data_dir) as bus:
            bus.subscribe("A", handler)
            for n in range(10):
                await bus.publish("A", {"n": n})
            await asyncio.wait_for(done.wait(), 10.0)
            return handled.sequences

    assert asyncio.run(scenario()) == list(range(1, 11))


def test_a_coroutine_handler_that_takes_too_long_is_cancelled(node, bus):
    cancelled, handled = [], Handled()

    async def handler(event):
        handled(event)
        if event.sequence == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(event.sequence)
                raise

    bus.subscribe("A", handler, timeout=0.05)
    bus.publish("A").wait(10.0)
    bus.publish("A", {"n": 2}).wait(10.0)
    eventually(lambda: handled.sequences == [1, 2])
    (failure,) = eventually(lambda: failures(node))
    assert (failure["sequence"], failure["kind"]) == (1, "timeout")
    assert cancelled == [1]


def test_coroutine_handlers_run_at_once_up_to_their_number(node, bus):
    running, most = 0, 0

    async def handler(event):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    bus.subscribe("A", handler, concurrency=4)
    for n in range(20):
        bus.publish("A", {"n": n})
    eventually(lambda: node.settled("A") == 20)
    assert most == 4


def test_a_coroutine_handler_that_raises_fails_its_event(node, bus):
    async def handler(event):
        raise LookupError("no")

    bus.subscribe("A", handler)
    bus.publish("A")
    (failure,) = eventually(lambda: failures(node))
    assert (failure["error_type"], failure["error"]) == ("LookupError", "no")


# ---- closing


def test_closing_lets_a_running_handler_finish_and_reports_it(node):
    started, handled = threading.Event(), Handled()

    def handler(event):
        started.set()
        time.sleep(0.1)
        handled(event)

    with mesh.connect(node.data_dir) as bus:
        bus.subscribe("A", handler)
        bus.publish("A").wait(10.0)
        assert started.wait(10.0)
    assert handled.sequences == [1]
    assert node.settled("A") == 1
    assert [request["do"] for request in node.requests][-1] == "goodbye"


def test_a_closed_bus_refuses_everything(node, bus):
    bus.close()
    bus.close()
    for call in (lambda: bus.publish("A"), lambda: bus.subscribe("A", print), lambda: bus.flush(0)):
        with pytest.raises(mesh.BusClosed):
            call()


def test_closing_never_takes_longer_than_its_time(node, bus):
    stuck = threading.Event()
    bus.subscribe("A", lambda event: stuck.wait(30.0))
    bus.publish("A").wait(10.0)
    begun = time.monotonic()
    bus.close(0.5)
    assert time.monotonic() - begun < 2.0
    stuck.set()


def test_what_was_never_receipted_is_rejected_when_the_bus_closes(tmp_path):
    bus = mesh.connect(tmp_path)
    receipt = bus.publish("A")
    bus.close(0.1)
    assert receipt.wait(10.0).status == "rejected"
    assert isinstance(receipt.error, mesh.BusClosed)


def test_a_handler_may_close_its_subscription_and_its_bus(node):
    closed = threading.Event()
    bus = mesh.connect(node.data_dir)

    def handler(event):
        bus.close(1.0)
        closed.set()

    bus.subscribe("A", handler)
    bus.publish("A")
    assert closed.wait(10.0)


def test_in_a_forked_child_the_bus_says_whose_it_is(node, bus):
    def act():
        with pytest.raises(mesh.BusClosed, match="belongs to the parent process"):
            bus.publish("A")

    assert forking.end(forking.begin(act)) == 0
    assert bus.publish("A").wait(10.0).status == "accepted"
