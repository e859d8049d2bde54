"""A subscription is what the node has registered; it can be refused, wait for a node, and end."""

import logging
import threading
from datetime import UTC, datetime

import pytest

import mesh
import mesh.courses
import mesh.subscribing
from mesh.requests import pack_refusal
from tests.mesh.fake_node import FakeNode, eventually
from tests.mesh.handled import Handled


def test_the_registration_says_everything_the_node_must_know(node, bus):
    def handler(event):
        pass

    since = datetime(2026, 1, 1, tzinfo=UTC)
    bus.subscribe("A", handler, durable=True, since=since, attempts=3, timeout=7, backoff=(0.5, 2))
    bus.subscribe("B", handler, name="other", since=60.0)
    first, second = node.asked("subscribe")
    assert {key: first[key] for key in ("pattern", "durable", "attempts", "timeout_s", "backoff", "resume")} == {
        "pattern": "A",
        "durable": True,
        "attempts": 3,
        "timeout_s": 7.0,
        "backoff": [0.5, 2.0],
        "resume": None,
    }
    assert first["consumer"] == f"test:{handler.__qualname__}"
    assert first["since"] == {"time_us": int(since.timestamp() * 1e6)}
    assert (second["consumer"], second["since"]) == ("other", {"ago_us": 60_000_000})


def test_the_same_handler_twice_gets_a_numbered_name(node, bus):
    handled = Handled()
    names = [bus.subscribe(pattern, handled).name for pattern in ("A", "A", "B")]
    assert names == ["test:Handled", "test:Handled#2", "test:Handled#3"]
    assert bus.list_subscribers() == {"A": names[:2], "B": names[2:]}


def test_a_name_that_is_held_is_an_error(node, bus):
    node.refuse["subscribe"] = ("held", "durable consumer x is attached by another process")
    with pytest.raises(mesh.ConsumerHeld, match="another process"):
        bus.subscribe("A", print, name="x", durable=True)
    assert bus.list_subscribers() == {}


def test_without_a_node_subscribe_returns_and_registers_later(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(mesh.subscribing, "REGISTER_S", 0.05)
    fake, handled = FakeNode(tmp_path), Handled()
    with mesh.connect(tmp_path) as bus:
        with caplog.at_level(logging.WARNING, "mesh"):
            sub = bus.subscribe("A", handled)
        assert "no node answers" in caplog.text
        assert not sub.ready
        fake.start()
        assert sub.wait_ready(10.0)
        bus.publish("A", {"x": 1})
        eventually(lambda: handled.payloads == [{"x": 1}])
    fake.stop()


def test_what_nobody_waits_for_any_more_is_tried_until_the_node_can_take_it(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh.subscribing, "REGISTER_S", 0.05)
    monkeypatch.setattr(mesh.courses, "REGISTER_AGAIN_S", 0.05)
    fake = FakeNode(tmp_path)
    fake.refuse["subscribe"] = ("disk", "not now")
    with mesh.connect(tmp_path) as bus:
        sub = bus.subscribe("A", print, durable=True)
        fake.start()
        eventually(lambda: fake.asked("subscribe"))
        del fake.refuse["subscribe"]
        assert sub.wait_ready(10.0)
    fake.stop()


def test_a_session_that_the_node_has_lost_subscribes_when_it_has_attached_anew(node, bus, monkeypatch):
    monkeypatch.setattr(mesh.courses, "REGISTER_AGAIN_S", 0.05)
    node.refuse["subscribe"] = ("hello", "this session is not attached; say hello first")
    asked = threading.Thread(target=bus.subscribe, args=("A", print), daemon=True)
    asked.start()
    eventually(lambda: node.asked("subscribe"))
    del node.refuse["subscribe"]
    node.say(bus._session.id, {"t": "hello"})
    eventually(lambda: node.subscriptions)
    asked.join(10.0)
    assert list(bus.list_subscribers()) == ["A"]


def test_a_subscription_that_is_closed_before_it_is_registered_is_no_error(node, bus, monkeypatch, caplog):
    monkeypatch.setattr(mesh.subscribing, "REGISTER_S", 0.05)
    node.muted.add("subscribe")
    bus.subscribe("A", print).close()
    ((peer, asked),) = node.unanswered
    node.tell(lambda: node._ctl.send_multipart([peer, pack_refusal(asked["id"], "ended", "it ended before")]))
    eventually(lambda: bus._session._attaching.link.waiting_since() is None)
    assert "it ended before" not in caplog.text


def test_a_closed_subscription_is_settled_unsubscribed_and_silent(node, bus):
    handled = Handled()
    sub = bus.subscribe("A", handled)
    bus.publish("A", {"n": 1}).wait(10.0)
    eventually(lambda: handled.events)
    sub.close()
    assert node.settled("A") == 1
    assert [request["sub"] for request in node.asked("unsubscribe")] == [sub._course.sub]
    assert bus.list_subscribers() == {}
    bus.publish("A", {"n": 2}).wait(10.0)
    assert handled.sequences == [1]
