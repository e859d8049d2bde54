"""How a program is wired is told to every node it attaches to, in its latest state."""

import pytest

import mesh
from tests.mesh.fake_node import FakeNode, eventually


def wirings(node):
    return [(request["groups"], request["critical"]) for request in node.asked("wiring")]


def test_a_program_tells_how_it_is_wired_and_tells_the_next_node_the_latest(node, bus):
    bus.subscribe("A", lambda event: None)
    for state in ("failed: no", "subscribed"):
        bus.report_wiring({"groups": {"g": {"topics": {"A": state}}}, "critical": ["A"]})
    latest = ({"g": {"topics": {"A": "subscribed"}}}, ["A"])
    eventually(lambda: wirings(node)[-1:] == [latest])
    told = len(wirings(node))
    node.stop()
    eventually(lambda: not bus.attached)
    node.start()
    eventually(lambda: len(wirings(node)) > told)
    assert wirings(node)[told:] == [latest]
    assert [request["do"] for request in node.requests][-3:] == ["hello", "subscribe", "wiring"]


def test_how_a_program_is_wired_may_be_told_before_there_is_a_node_and_is_a_copy(tmp_path):
    with mesh.connect(tmp_path) as bus:
        fields = {"groups": {}, "critical": ["A"]}
        bus.report_wiring(fields)
        fields["critical"].append("B")
        fake = FakeNode(tmp_path).start()
        eventually(lambda: wirings(fake) == [({}, ["A"])])
    fake.stop()


def test_a_wiring_that_is_refused_is_said_once_and_not_repeated(node, bus, caplog):
    node.refuse["wiring"] = ("unknown", "unknown request 'wiring'")
    bus.report_wiring({"groups": {}, "critical": []})
    eventually(lambda: "unknown request 'wiring'" in caplog.text)
    assert bus.publish("A", {}).wait(10.0).status == "accepted"
    assert len(wirings(node)) == 1


def test_a_wiring_that_is_no_json_is_the_callers_error(bus):
    with pytest.raises(mesh.NotSerializable):
        bus.report_wiring({"groups": object()})


def test_a_closed_bus_takes_no_wiring(node):
    bus = mesh.connect(node.data_dir)
    bus.close()
    with pytest.raises(mesh.BusClosed):
        bus.report_wiring({"groups": {}, "critical": []})
