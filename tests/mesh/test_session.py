"""The session's thread: an error costs an attachment, and what it cannot survive it does not hide."""

import pytest

import mesh
from tests.mesh.fake_node import ORIGIN, eventually


def raising(call, error):
    """`call`, but it raises the first time."""
    left = [error]

    def instead(*args):
        if left:
            raise left.pop()
        return call(*args)

    return instead


@pytest.mark.parametrize("error", [ValueError("a defect"), MemoryError(), AssertionError()])
def test_a_defect_costs_the_attachment_and_nothing_else(node, monkeypatch, caplog, error):
    handled = []
    with mesh.connect(node.data_dir) as bus:
        bus.subscribe("A", lambda event: handled.append(event.sequence))
        bus.publish("A", {"n": 1}).wait(10.0)
        courses = bus._session.courses
        monkeypatch.setattr(courses, "overdue", raising(courses.overdue, error))
        receipts = [bus.publish("A", {"n": n}) for n in range(2, 6)]
        eventually(lambda: len(node.asked("hello")) == 2)
        assert [receipt.wait(10.0).event_id for receipt in receipts] == [f"{ORIGIN}/A/{n}" for n in range(2, 6)]
        eventually(lambda: handled == [1, 2, 3, 4, 5])
        assert caplog.text.count("is renewed after an error") == 1
        assert "in instead" in caplog.text  # the traceback


def test_when_even_that_fails_the_bus_says_so_instead_of_taking_events_for_nobody(node, monkeypatch):
    with mesh.connect(node.data_dir) as bus:
        bus.wait_attached(10.0)
        node.lose_frames = 1_000_000
        receipt = bus.publish("A")
        eventually(lambda: node.lose_frames < 1_000_000)

        def fails(*args):
            raise RuntimeError("as it must not")

        monkeypatch.setattr("threading.excepthook", lambda *args: None)
        monkeypatch.setattr(bus._session.courses, "overdue", fails)
        monkeypatch.setattr(bus._session.courses, "detached", fails)
        bus._session.call(lambda now: None)
        assert receipt.wait(10.0).status == "rejected"
        with pytest.raises(mesh.BusClosed, match="the bus failed"):
            bus.publish("A")
        assert not bus.attached
