"""Beacons: which heads are announced, how often, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.requests import unpack_beacon
from tests.node.workbench import Author, Bench, Program


def followed(directory: Path, pattern: str) -> tuple[Bench, Author]:
    """A node whose one program follows a pattern, and a publisher; nothing is left to be announced."""
    bench, author = Bench(directory), Author()
    bench.greet(author)
    program = Program(bench, "reader")
    program.attach()
    program.subscribe("c", pattern)
    beacons(bench, 2)
    return bench, author


def beacons(bench: Bench, later_s: float) -> list[list[tuple[str, str, int]]]:
    return [unpack_beacon(parts[0]) for parts in bench.turn(later_s=later_s).out if parts[0][:1] == b"~"]


def test_the_heads_that_moved_are_announced_in_three_beacons_a_second_apart(tmp_path: Path) -> None:
    bench, author = followed(tmp_path, "*")
    bench.turn(author.frame("A", 1, 2), author.frame("B", 3))
    bench.turn(author.frame("A", 4))
    assert beacons(bench, 0.1) == []
    for _ in range(3):
        (heads,) = beacons(bench, 1)
        assert sorted(heads) == [(bench.origin, "A", 3), (bench.origin, "B", 1)]
        assert beacons(bench, 0.1) == []
    assert beacons(bench, 5) == []


def test_a_head_that_moves_again_is_announced_three_times_from_then_on(tmp_path: Path) -> None:
    bench, author = followed(tmp_path, "A")
    bench.turn(author.frame("A", 1))
    assert beacons(bench, 1) == [[(bench.origin, "A", 1)]]
    bench.turn(author.frame("A", 2))
    assert [beacons(bench, 1) for _ in range(4)] == [[[(bench.origin, "A", 2)]]] * 3 + [[]]


def test_what_nobody_here_wants_is_not_announced_here(tmp_path: Path) -> None:
    bench, author = followed(tmp_path, "A")
    bench.turn(author.frame("A", 1), author.frame("B", 2))
    assert beacons(bench, 1) == [[(bench.origin, "A", 1)]]


def test_very_many_heads_go_in_several_beacons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, author = followed(tmp_path, "*")
    monkeypatch.setattr("node.beacons.ROWS_MAX", 2)
    bench.turn(*(author.frame(topic, 1) for topic in "ABC"))
    assert beacons(bench, 1) == [[(bench.origin, "A", 1), (bench.origin, "B", 1)], [(bench.origin, "C", 1)]]
