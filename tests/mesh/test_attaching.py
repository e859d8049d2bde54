"""A program attaches when there is a node, says who it is, and begins anew when that did not hold."""

import os
import threading

import mesh
import mesh.attaching
import mesh.session
from tests.mesh.fake_node import ORIGIN, FakeNode, eventually


def test_a_bus_attaches_when_the_node_comes(tmp_path):
    fake = FakeNode(tmp_path)
    with mesh.connect(tmp_path, name="test") as bus:
        assert not bus.attached
        receipt = bus.publish("A", {"x": 1})
        assert not receipt.done
        fake.start()
        assert bus.wait_attached(10.0)
        assert receipt.wait(10.0).event_id == f"{ORIGIN}/A/1"
    fake.stop()


def test_hello_says_who_is_there(node, bus):
    (hello,) = node.asked("hello")
    assert (hello["name"], hello["pid"], hello["first"]) == ("test", os.getpid(), 1)
    assert hello["session"] == bus._session.id.hex()


def test_a_hello_that_is_refused_is_tried_again(tmp_path):
    fake = FakeNode(tmp_path)
    fake.refuse["hello"] = ("busy", "not now")
    fake.start()
    with mesh.connect(tmp_path) as bus:
        eventually(lambda: len(fake.asked("hello")) >= 2)
        assert not bus.attached
        del fake.refuse["hello"]
        assert bus.wait_attached(10.0)
    fake.stop()


def test_a_bus_survives_messages_that_break_the_protocol(node, bus):
    node.say(bus._session.id, {"t": "no such thing"})
    eventually(lambda: len(node.asked("hello")) == 2)
    assert bus.publish("A", {}).wait(10.0).status == "accepted"


def test_a_request_that_is_never_answered_is_made_again_in_a_new_attachment(node, monkeypatch):
    monkeypatch.setattr(mesh.attaching, "ANSWER_S", 0.2)
    monkeypatch.setattr(mesh.session, "IDLE_S", 0.05)
    node.muted.add("subscribe")
    with mesh.connect(node.data_dir) as bus:
        threading.Thread(target=bus.subscribe, args=("A", print), daemon=True).start()
        eventually(lambda: len(node.asked("subscribe")) >= 2)
        node.muted.clear()
    assert [request["do"] for request in node.requests][:4] == ["hello", "subscribe", "hello", "subscribe"]


def test_a_node_that_says_goodbye_is_not_there_until_it_is_back(node, bus):
    node.say(bus._session.id, {"t": "goodbye"})
    eventually(lambda: len(node.asked("hello")) == 2)
    assert bus.wait_attached(10.0)


def test_a_bus_that_is_closed_says_goodbye(node):
    with mesh.connect(node.data_dir) as bus:
        assert bus.wait_attached(10.0)
        assert node.asked("goodbye") == []
    assert len(node.asked("goodbye")) == 1
