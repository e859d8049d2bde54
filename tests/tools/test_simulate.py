"""The simulation: a seed has one course of events, and the mesh keeps its promises under what a seed brings."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from tools.simulate.__main__ import simulate
from tools.simulate.faults import KINDS, Kind
from tools.simulate.report import Course
from tools.simulate.simulation import Setting, Simulation


def run(seed: int, *kinds: Kind, nodes: int = 5, for_s: float = 20.0) -> Course:
    return Course.of(Setting(seed, nodes, for_s, kinds))


@pytest.mark.parametrize("span", ["-5s", "nan", "1e999", "5 minutes"])
def test_what_is_no_duration_is_refused(span: str):
    app = typer.Typer()
    app.command()(simulate)
    said = CliRunner().invoke(app, ["--for", span], env={"COLUMNS": "200"})
    assert said.exit_code == 2
    assert f"'{span}' is no duration; write 90s, 10m or 1h" in said.output


def test_the_same_seed_gives_the_same_course_of_events():
    one, other = (run(7, "disk", "programs", "clock") for _ in range(2))
    assert one.simulation.world.digest == other.simulation.world.digest


def test_another_seed_gives_another_course_of_events():
    assert run(7, "programs").simulation.world.digest != run(8, "programs").simulation.world.digest


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_programs_that_come_and_go_and_clocks_that_jump_lose_nothing(first: int):
    courses = [run(seed, "programs", "clock") for seed in range(first, first + 10)]
    assert [(course.setting.seed, course.violated) for course in courses if course.violated] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_mesh_keeps_its_promises_under_every_kind_of_fault(kind: Kind):
    courses = [run(seed, kind) for seed in range(1, 6)]
    assert [(course.setting.seed, course.violated) for course in courses if course.violated] == []


def test_a_pair_of_peers_that_can_never_be_linked_is_carried_for():
    course = run(2, "walls", nodes=6)
    assert [fault.how for fault in course.simulation.faults] == ["both"]
    assert course.violated is None


def test_a_mesh_with_walls_comes_to_rest_as_soon_as_one_without():
    simulation = Simulation(Setting(2, 6, 20.0, ("walls",)))
    simulation.run()
    assert simulation.network.walls
    assert simulation.world.now_s < 100
