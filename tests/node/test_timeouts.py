"""Handler timeouts: each is counted once, under bounded names."""

from __future__ import annotations

from pathlib import Path

from node.timeouts import NAMES_MAX, OTHERS, HandlerTimeouts
from tests.node.workbench import Author, Bench, Program, failure


def test_timeouts_are_counted_in_all_by_topic_and_by_consumer() -> None:
    timeouts = HandlerTimeouts()
    for topic, consumer in (("A", "x"), ("A", "y"), ("B", "x")):
        timeouts.count(topic, consumer)
    assert timeouts.row() == {"total": 3, "by_topic": {"A": 2, "B": 1}, "by_consumer": {"x": 2, "y": 1}}


def test_names_are_bounded_and_the_total_is_not() -> None:
    timeouts = HandlerTimeouts()
    for number in range(NAMES_MAX + 5):
        timeouts.count(f"T{number}", "c")
    timeouts.count("T0", "c")
    row = timeouts.row()
    assert (row["total"], row["by_consumer"]) == (NAMES_MAX + 6, {"c": NAMES_MAX + 6})
    assert len(row["by_topic"]) == NAMES_MAX + 1
    assert (row["by_topic"]["T0"], row["by_topic"][OTHERS]) == (2, 5)


def test_the_first_attempt_and_every_redelivery_count_once_and_errors_do_not(tmp_path: Path) -> None:
    bench, author = Bench(tmp_path), Author()
    bench.greet(author)
    program = Program(bench, "reader")
    program.attach()
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2))
    move = [bench.origin, "A", 0, 2, [failure(1, kind="timeout"), failure(2)], []]
    program.report(sub, move)
    program.report(sub, move)  # its answer was lost: said again, it changes nothing
    assert bench.sessions.timeouts.row() == {"total": 1, "by_topic": {"A": 1}, "by_consumer": {"c": 1}}
    for kind in ("timeout", "error"):
        attempt = {"timeout": 2, "error": 3}[kind]
        program.report(sub, letters=[[1, attempt, failure(1, attempt, kind=kind)]])
    assert bench.sessions.timeouts.total == 2
