"""Attaching: hello, who is there, who is asked to come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.requests import session_topic
from tests.node.workbench import Author, Bench, Program, answer, directed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def author(bench: Bench) -> Author:
    made = Author()
    bench.greet(made)
    return made


@pytest.fixture
def program(bench: Bench) -> Program:
    made = Program(bench, "reader")
    made.attach()
    return made


def test_hello_is_answered_once_the_program_can_hear(bench: Bench) -> None:
    program = Program(bench, "new")
    assert bench.turn(requests=[program.request("hello", name="n", pid=1, first=1)]).replies == []
    reply = answer(bench.turn(subscriptions=[b"\x01" + session_topic(program.session)]))
    assert (reply["ok"], reply["origin"], reply["node"]) == (True, bench.origin, "a")
    assert [reply[key] for key in ("in", "out", "ctl")] == ["ipc://in", "ipc://out", "ipc://ctl"]


def test_hello_behind_the_subscription_is_answered_at_once(bench: Bench) -> None:
    assert Program(bench, "new").attach()["ok"]


def test_without_a_hello_nothing_can_be_subscribed_or_reported(bench: Bench) -> None:
    program = Program(bench, "new")
    assert answer(bench.turn(requests=[program.subscribing("c", "A")[1]]))["code"] == "hello"
    assert answer(bench.turn(requests=[program.reporting(1)]))["code"] == "hello"


def test_a_listener_that_is_not_known_is_asked_to_say_hello_once_a_second(bench: Bench) -> None:
    program = Program(bench, "lost")
    bench.turn(subscriptions=[b"\x01" + session_topic(program.session)])
    assert directed(bench.turn(later_s=0.5), program.session) == []
    assert directed(bench.turn(later_s=0.6), program.session) == [{"t": "hello"}]
    assert directed(bench.turn(later_s=0.5), program.session) == []


def test_a_program_that_attached_anew_stays_when_its_earlier_connection_is_found_to_be_dead(
    bench: Bench, program: Program
) -> None:
    program.attach()
    program.subscribe("c", "A", durable=True)
    program.leave()
    assert bench.sessions.attached() == {program.session}
    assert bench.state.consumers["c"].attached
    program.leave()
    assert not bench.sessions.attached()


@pytest.mark.parametrize("session", ["", "12", "zz" * 8, "0" * 18, 5, None])
def test_a_session_that_is_no_session_is_malformed(bench: Bench, session: object) -> None:
    assert bench.ask("hello", session=session, name="x", pid=1, first=1)["code"] == "malformed"


def test_a_node_that_stops_tells_every_program(bench: Bench, program: Program) -> None:
    turn = bench.turn()
    bench.node.goodbye(turn)
    assert directed(turn, program.session) == [{"t": "goodbye"}]
