"""Every process is killed, or halted, again and again under load; the files the programs left say what became of it.

    source ──▶ node a ─────link────▶ node b
                │ archive  (durable)    │ far archive (durable)
                │ watcher  (live)       │ far watcher (live)
                │ flaky    (durable, four at once, some first attempts fail)

Nothing that was receipted may be missing, beside the source (node a) or on the far side: what passed while b was away
is repaired from a.
"""

from __future__ import annotations

import pytest

from tests.conditions import elapsed, eventually
from tests.processes.cluster import ask, linked, log_of
from tests.proofs.evidence import (
    assert_all_accepted,
    assert_every_run_continues_the_former,
    assert_one_content_per_identity,
    assert_ordered_and_single_in_every_run,
    assert_without_hole_in_every_run,
    lacking,
)
from tests.proofs.stage import Player, continued, stopped

pytestmark = pytest.mark.processes

TOPICS = ["T.loss", "T.game", "T.model", "T.gpu"]
DURABLE = {"durable": True, "since": "earliest"}
FLAKY = {**DURABLE, "concurrency": 4, "attempts": 50, "backoff": [0.02, 0.2]}
FAILS = 40
HERE, THERE = ("archive", "watcher", "flaky"), ("far-archive", "far-watcher")
PROGRAMS = ("source", *HERE, *THERE)


def long(rounds, timeout_s):
    """The long version of a proof."""
    return pytest.param(rounds, marks=[pytest.mark.slow, pytest.mark.timeout(timeout_s)])


class Scene:
    """The nodes and players of these proofs, and the load they are under."""

    def __init__(self, stage, rate):
        self.stage = stage
        self.a, self.b = stage.cluster.pair()
        stage.consumer("archive", self.a, options=DURABLE)
        stage.consumer("watcher", self.a)
        stage.consumer("flaky", self.a, options=FLAKY, fails=FAILS)
        stage.consumer("far-archive", self.b, options=DURABLE)
        stage.consumer("far-watcher", self.b)
        self.source = stage.source("source", self.a, TOPICS, rate)
        self.source.program.say(do="start")

    def victim(self, name):
        """A node or a player by name."""
        return {"a": self.a, "b": self.b}.get(name) or self.stage.players[name]

    def under_load(self, receipts):
        """Wait until so many more receipts came."""
        before = self.stage.called("source")
        eventually(lambda: self.stage.called("source") >= before + receipts, 60.0, "the source's progress")

    def kill(self, name):
        """SIGKILL, and after a moment a new start, which for a program is not waited for."""
        victim, draw = self.victim(name), self.stage.draw
        victim.kill()
        elapsed(draw.choice([0.0, draw.uniform(0.0, 0.5)]))
        if isinstance(victim, Player):
            victim.start(wait=False)
            if name == "source":
                victim.program.say(do="start")
        else:
            victim.start()

    def calm(self):
        """No more faults: everything runs, both nodes are linked, and a mark on every topic has reached everybody."""
        for name in PROGRAMS:
            self.stage.players[name].ready()
        linked(self.a, self.b)
        self.source.do("stop", "stopped")
        marks = set()

        def marked():
            marks.update(self.source.do("mark", "marked")["marked"])
            return all(self._heard(name, marks) for name in THERE)

        eventually(marked, 60.0, "a mark on every topic at the far consumers")
        self.stage.settled(self.a, *HERE)
        self.stage.settled(self.b, *THERE)

    def _heard(self, name, marks):
        """Whether a consumer was given a mark of every topic within a second."""

        def topics():
            return {call.stream[1] for call in self.stage.calls(name) if call.event in marks} == set(TOPICS)

        try:
            return eventually(topics, 1.0)
        except AssertionError:
            return False


def judge(scene, killed):
    """Everything the files and the books must show; returns the figures."""
    stage = scene.stage
    calls = {name: stage.calls(name) for name in (*HERE, *THERE)}
    receipts = stage.receipts("source")
    assert_all_accepted(receipts)
    books_a, books_b = ask(scene.a, "audit"), ask(scene.b, "audit")
    stage.players["source"].program.end()
    for name in (*HERE, *THERE):
        stage.players[name].program.end()
    assert (scene.a.stop(), scene.b.stop()) == (0, 0)
    log_a, log_b = log_of(scene.a), log_of(scene.b)
    events_a = [event for event in log_a if event["topic"] in TOPICS]
    heads = {}
    for event in events_a:
        origin, topic, sequence = event["id"].split("/")
        heads[origin, topic] = max(heads.get((origin, topic), 0), int(sequence))

    # no sequence twice with different content, in receipts, handlers and both logs
    logged = [(e["id"], e["payload"]["who"], e["payload"]["i"]) for e in (*log_a, *log_b) if e["topic"] in TOPICS]
    handled = [(call.event, call.who, call.i) for name in calls for call in calls[name]]
    spoken = [(given.event, given.who, given.i) for given in receipts]
    events = assert_one_content_per_identity([*logged, *handled, *spoken])
    assert events == len(events_a) == sum(heads.values())

    # beside the publisher nothing is missing, not even what was never receipted but is in the log
    assert {given.event for given in receipts} <= {event["id"] for event in events_a}
    assert lacking(calls["archive"], heads) == {}
    assert lacking(calls["flaky"], heads) == {}
    again = {call.event for call in calls["flaky"] if call.attempt > 1}
    assert again == {call.event for call in calls["flaky"] if call.i % FAILS == FAILS - 1}

    # order, and nothing twice, within every run
    for name in ("archive", "watcher", *THERE):
        assert_ordered_and_single_in_every_run(name, calls[name])
    for name in ("archive", "watcher"):
        assert_without_hole_in_every_run(name, calls[name])
    repeats = {
        "archive": assert_every_run_continues_the_former("archive", calls["archive"]),
        "far-archive": repeated(calls["far-archive"]),
        "flaky": repeated(calls["flaky"]),
    }
    if not killed:
        assert set(repeats.values()) == {0}

    # nor is anything missing on the far side, nor between two events of one run
    assert lacking(calls["far-archive"], heads) == {}
    assert_without_hole_in_every_run("far-watcher", calls["far-watcher"])
    for books in (books_a, books_b):
        assert (books["balanced"], books["lost_ranges"]) == (True, [])
    return {
        "events": events,
        "receipted": len(receipts),
        "handled again after a crash": repeats,
        "runs": {name: stage.players[name].run + 1 for name in PROGRAMS},
    }


def repeated(calls):
    """How many calls gave an event and attempt that was given before."""
    return len(calls) - len({(call.event, call.attempt) for call in calls})


@pytest.mark.parametrize("rounds", [6, long(100, 1800)])
def test_killed_at_random_moments_no_process_takes_a_receipted_event_with_it(stage, rounds):
    scene = Scene(stage, rate=250)
    targets = []
    while len(targets) < rounds:
        targets += stage.draw.sample(["a", "b", *PROGRAMS], 7)
    for name in targets[:rounds]:
        scene.under_load(20)
        elapsed(stage.draw.uniform(0.0, 0.4))
        for each in [name] if stage.draw.random() < 0.8 else [name, stage.draw.choice([*PROGRAMS])]:
            scene.kill(each)
    scene.calm()
    print(f"FIGURES {rounds} kills: {judge(scene, killed=True)}")


@pytest.mark.parametrize(
    ("rounds", "longest_s"), [(6, 2.0), pytest.param(100, 20.0, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_halted_for_seconds_no_process_loses_or_repeats_an_event(stage, rounds, longest_s):
    scene = Scene(stage, rate=150)
    targets = []
    while len(targets) < rounds:
        targets += stage.draw.sample(["a", "b", *PROGRAMS], 7)
    for name in targets[:rounds]:
        elapsed(stage.draw.uniform(0.0, 0.4))
        stopped(scene.victim(name))
        elapsed(longest_s ** stage.draw.random())
        continued(scene.victim(name))
        scene.under_load(20)
    scene.calm()
    print(f"FIGURES {rounds} halts of 1 to {longest_s:g} s: {judge(scene, killed=False)}")
