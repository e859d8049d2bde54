"""Wiring: what programs report of their subscriptions, what stays required, and who holds a critical topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.requests import Json
from node.wiring import CRITICAL_MAX, GROUPS_MAX, PROGRAMS_KEPT_MAX, TOPICS_MAX, Wiring, read_report
from tests.node.workbench import Bench, Program, answer

NOT_HELD = "no consumer is attached"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def program(bench: Bench) -> Program:
    return attached(bench, "one")


def attached(bench: Bench, session: str) -> Program:
    made = Program(bench, session)
    made.attach()
    return made


def wire(program: Program, groups: Json | None = None, critical: Any = ()) -> Json:
    fields = {"groups": {name: {"topics": topics} for name, topics in (groups or {}).items()}, "critical": critical}
    return answer(program.bench.turn(requests=[program.request("wiring", **fields)]))


def status(bench: Bench) -> Json:
    return bench.sessions.wiring.status(bench.sessions.in_force())


def missing(bench: Bench) -> dict[str, str]:
    return {row["topic"]: row["missing"] for row in status(bench)["critical"] if row["missing"]}


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_that_was_told_nothing_is_ready(bench: Bench) -> None:
    assert status(bench) == {"ready": True, "missing": [], "critical": [], "groups": []}


def test_groups_and_critical_topics_are_shown_as_reported(bench: Bench, program: Program) -> None:
    program.subscribe("trainer", "A")
    assert wire(program, {"g": {"A": "subscribed", "B": "failed: no"}}, ["A", "C"])["ok"]
    required = {"required_by": ["program"]}
    assert status(bench) == {
        "ready": False,
        "missing": ["C"],
        "critical": [
            {"topic": "A", **required, "attached": True, "consumers": ["trainer"], "missing": None},
            {"topic": "C", **required, "attached": False, "consumers": [], "missing": NOT_HELD},
        ],
        "groups": [{"program": "program", "pid": 42, "group": "g", "topics": {"A": "subscribed", "B": "failed: no"}}],
    }


def test_a_report_replaces_the_one_before(bench: Bench, program: Program) -> None:
    wire(program, {"g": {"A": "subscribed"}}, ["A"])
    wire(program, {"h": {"B": "subscribed"}}, ["B"])
    assert missing(bench) == {"B": NOT_HELD}
    assert [row["group"] for row in status(bench)["groups"]] == ["h"]


# ── who holds a topic ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "holds"), [("gpu.health", True), ("gpu.*", True), ("*health", True), ("other", False), ("*", False)]
)
def test_a_topic_is_held_by_a_subscription_that_means_it(
    bench: Bench, program: Program, pattern: str, holds: bool
) -> None:
    wire(program, critical=["gpu.health"])
    attached(bench, "two").subscribe("c", pattern)
    assert missing(bench) == ({} if holds else {"gpu.health": NOT_HELD})


def test_who_takes_everything_holds_what_it_reports_as_subscribed(bench: Bench, program: Program) -> None:
    program.subscribe("router", "*")
    wire(program, {"g": {"A": "subscribed"}}, ["A", "B"])
    assert missing(bench) == {"B": NOT_HELD}


def test_what_its_program_could_not_subscribe_is_missing_whoever_else_listens(bench: Bench, program: Program) -> None:
    attached(bench, "two").subscribe("other", "A")
    wire(program, {"g": {"A": "failed: ImportError"}}, ["A"])
    assert missing(bench) == {"A": "program (pid 42): failed: ImportError"}
    wire(program, {"g": {"A": "subscribed"}}, ["A"])
    assert missing(bench) == {}


def test_a_durable_consumer_that_is_away_holds_nothing(bench: Bench, program: Program) -> None:
    wire(program, critical=["A"])
    other = attached(bench, "two")
    other.subscribe("c", "A", durable=True)
    assert missing(bench) == {}
    other.leave()
    assert missing(bench) == {"A": NOT_HELD}


# ── how long it is required ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("in_order", [False, True])
def test_what_a_program_declared_stays_required_when_it_has_gone(
    bench: Bench, program: Program, in_order: bool
) -> None:
    program.subscribe("c", "A")
    wire(program, {"g": {"A": "subscribed"}}, ["A"])
    assert missing(bench) == {}
    if in_order:
        bench.turn(requests=[program.request("goodbye")])
    program.leave()
    assert missing(bench) == {"A": NOT_HELD}
    assert status(bench)["groups"] == []


def test_the_program_that_comes_back_says_what_is_required_from_then_on(bench: Bench, program: Program) -> None:
    wire(program, critical=["A", "B"])
    program.leave()
    again = attached(bench, "two")
    assert missing(bench) == {"A": NOT_HELD, "B": NOT_HELD}
    wire(again, critical=["B"])
    assert missing(bench) == {"B": NOT_HELD}


def test_an_heir_of_several_processes_of_one_name_is_owed_by_all() -> None:
    wiring = Wiring()
    for session, topic in ((b"1", "A"), (b"2", "B")):
        wiring.report(session, read_report("worker", 1, {"groups": {}, "critical": [topic]}))
    wiring.leave(b"1")
    wiring.leave(b"2")
    assert wiring.required() == {"A": ["worker"], "B": ["worker"]}


def test_what_the_configuration_names_is_required_before_anybody_attached() -> None:
    wiring = Wiring(["A"])
    wiring.report(b"1", read_report("worker", 1, {"groups": {}, "critical": ["A"]}))
    assert wiring.required() == {"A": ["configuration", "worker"]}
    assert wiring.status(())["missing"] == ["A"]


def test_of_very_many_programs_the_ones_that_went_first_are_forgotten() -> None:
    wiring = Wiring()
    for number in range(PROGRAMS_KEPT_MAX + 1):
        wiring.report(b"1", read_report(f"p{number}", 1, {"groups": {}, "critical": [f"T{number}"]}))
        wiring.leave(b"1")
    assert "T0" not in wiring.required()
    assert len(wiring.required()) == PROGRAMS_KEPT_MAX


# ── what is no report ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("groups", "critical", "code", "words"),
    [
        ({"g": {"A": "subscribed"}}, [f"T{n}" for n in range(CRITICAL_MAX + 1)], "invalid", "1001 critical topics"),
        ({f"g{n}": {} for n in range(GROUPS_MAX + 1)}, [], "invalid", "201 groups"),
        ({"g": {f"T{n}": "" for n in range(TOPICS_MAX + 1)}}, [], "invalid", "5001 topics"),
        ({"g": {"a b": "subscribed"}}, [], "invalid", "white space"),
        ({}, ["a*"], "invalid", "'a*'"),
        ({}, [5], "invalid", "topic 5"),
        ({}, [["A"]], "malformed", "wiring"),
        ({}, 5, "malformed", "wiring"),
        ({"g": 5}, [], "malformed", "wiring"),
    ],
)
def test_a_report_that_cannot_be_kept_is_refused_and_changes_nothing(
    bench: Bench, program: Program, groups: Json, critical: Any, code: str, words: str
) -> None:
    wire(program, {"g": {"A": "subscribed"}}, ["A"])
    before = status(bench)
    refusal = wire(program, groups, critical)
    assert refusal["code"] == code
    assert words in refusal["message"]
    assert status(bench) == before


def test_who_is_not_attached_cannot_report(bench: Bench) -> None:
    assert wire(Program(bench, "stranger"))["code"] == "hello"


def test_a_long_reason_is_cut() -> None:
    report = read_report("p", 1, {"groups": {"g": {"topics": {"A": "failed: " + "x" * 1000}}}, "critical": []})
    assert len(report.groups["g"]["A"]) == 500
