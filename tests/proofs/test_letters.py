"""Many dead letters, retried by two operators at once: one run of the failed handler for every accepted press."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

import mesh
from mesh.client import NodeClient
from tests.conditions import eventually
from tests.processes.cluster import ask

pytestmark = pytest.mark.processes

ONCE = {"attempts": 1, "durable": True, "since": "earliest"}
PAGE = 500


def letters(node, **fields):
    """All letters of a node: id → (event, state, attempts)."""
    found, after = {}, 0
    while True:
        rows = ask(node, "dlq.list", limit=PAGE, after=after, payloads=False, **fields)["rows"]
        found |= {row["id"]: (row["event_id"], row["state"], row["attempts"]) for row in rows}
        if not rows:
            return found
        after = max(found)


class Operator(threading.Thread):
    """Presses retry for every letter, a few at a time, in its own order; keeps what was accepted."""

    def __init__(self, node, name, ids, draw, gate):
        super().__init__(name=name)
        self.accepted = Counter()
        self.refused = []
        self._node = node
        self._presses = []
        self._gate = gate
        ids = list(ids)
        while ids:
            self._presses.append([ids.pop(0) for _ in range(min(len(ids), draw.randint(1, 20)))])

    def run(self):
        with NodeClient(self._node.data_dir, timeout=30.0) as client:
            self._gate.wait()
            for ids in self._presses:
                reply = client.request("dlq.retry", ids=ids, actor=self.name)
                self.accepted.update(reply["accepted"])
                self.refused += reply["refused"]


def press(node, ids, draw):
    """Two operators press retry for all these letters at the same time; what was accepted, and how often."""
    gate = threading.Barrier(2)
    operators = [Operator(node, name, ids, draw, gate) for name in ("anna", "ben")]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join(120.0)
    return operators[0].accepted + operators[1].accepted, [each for one in operators for each in one.refused]


def runs(stage, since, name="failing"):
    """event → calls of the failing handler, not counting the first `since` lines."""
    return Counter(call.event for call in stage.calls(name)[since:])


@pytest.mark.parametrize(
    "count", [100, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(600)], id="long")]
)
def test_letters_retried_twice_at_once_run_their_handler_once_per_accepted_press(stage, count):
    node = stage.cluster.node("a")
    failing = stage.consumer("failing", node, options=ONCE, broken=True)
    stage.consumer("healthy", node, options=ONCE)
    stage.consumer("watcher", node)
    with mesh.connect(node.data_dir, name="publisher") as bus:
        receipts = [bus.publish(f"T.{i % 7}", {"who": "test", "i": i}) for i in range(count)]
        assert {receipt.wait(30.0).status for receipt in receipts} == {"accepted"}
    events = {receipt.event_id for receipt in receipts}
    eventually(lambda: ask(node, "dlq.summary")["dead"] == count, 60.0, "all letters")
    known = letters(node)
    assert {event for event, _, _ in known.values()} == events

    # not mended: whatever is accepted runs the handler once, and is dead again
    before = stage.called("failing")
    accepted, refused = press(node, known, stage.draw)
    assert set(accepted) == set(known)
    eventually(lambda: stage.called("failing") == before + accepted.total(), 60.0, "a run for every accepted press")
    eventually(lambda: ask(node, "dlq.summary")["dead"] == count, 60.0, "all letters dead again")
    assert runs(stage, before) == Counter({known[id_][0]: times for id_, times in accepted.items()})
    assert all("being tried at this moment" in reason for _, reason in refused)
    assert {id_: state[2] for id_, state in letters(node).items()} == {id_: 1 + accepted[id_] for id_ in known}

    # mended: every letter ends with the first press that was accepted
    failing.do("mend", "mended")
    before = stage.called("failing")
    resolved, refused = press(node, known, stage.draw)
    assert resolved == Counter(dict.fromkeys(known, 1))
    eventually(lambda: ask(node, "dlq.summary")["dead"] == ask(node, "dlq.summary")["waiting"] == 0, 60.0)
    assert runs(stage, before) == Counter(dict.fromkeys(events, 1))
    assert letters(node) == {}
    assert len(refused) == count

    books = {row["consumer"]: row for row in ask(node, "audit")["consumers"]}
    assert (books["failing"]["published"], books["failing"]["settled"]) == (count, count)
    assert ask(node, "dlq.summary")["resolved"] == count
    assert ask(node, "audit")["balanced"]
    for name in ("healthy", "watcher"):
        assert runs(stage, 0, name) == Counter(dict.fromkeys(events, 1))
    print(f"FIGURES {count} letters: {accepted.total()} presses accepted while broken, {resolved.total()} once mended")
