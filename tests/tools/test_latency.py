import json
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from tools.bench.child import ROOT
from tools.profile.latency import latency
from tools.profile.stamped import COMMITTED, POLLED, STAGES, STAMPS, TURNS, WOKEN, wrap


def write(place: Path, process: str, rows: list[tuple[int, int, int]], turns: list[tuple[int, ...]] = ()) -> None:
    (place / process).mkdir()
    (place / process / STAMPS).write_bytes(array("q", [each for row in rows for each in row]).tobytes())
    (place / process / TURNS).write_bytes(array("q", [each for turn in turns for each in turn]).tobytes())


def way(number: int, begin_us: int, **slow: int) -> list[tuple[int, int, int]]:
    """10 µs a step, but for the slow ones: stage number → µs."""
    at, rows = begin_us, []
    for stage in range(len(STAGES)):
        at += slow.get(f"s{stage}", 10) if stage else 0
        rows.append((stage, number, at * 1000))
    return rows


def test_every_step_is_what_lies_between_two_stamps_of_one_event_in_whatever_process(tmp_path):
    rows = way(1, 0) + way(2, 1000, s7=50)
    write(tmp_path, "a", [row for row in rows if row[0] < POLLED])
    write(tmp_path, "b", [row for row in rows if row[0] >= POLLED])
    found = latency(tmp_path)
    assert found.events == 2
    assert [step.name for step in found.steps] == [*STAGES[1:], "the whole"]
    assert found.steps[0][1:] == (10.0, 10.0, 10.0)
    assert found.steps[COMMITTED - 1].p99 == 50.0
    assert found.steps[-1].p99 == 160.0
    assert found.late == {}


def test_an_event_that_has_not_passed_every_stage_is_left_out(tmp_path):
    write(tmp_path, "a", way(1, 0) + way(2, 1000)[:-1])
    assert latency(tmp_path).events == 1


def test_a_stage_that_was_not_needed_took_no_time(tmp_path):
    write(tmp_path, "a", [(stage, number, 5 if stage == WOKEN else at) for stage, number, at in way(1, 1000)])
    found = latency(tmp_path)
    assert found.steps[WOKEN - 1].p50 == 0.0
    assert found.steps[WOKEN].p50 == 20.0


def test_a_late_event_is_counted_under_what_made_it_late(tmp_path):
    usual = [row for number in range(1, 10) for row in way(number, number * 10_000)]
    late = way(10, 200_000, s3=2000) + way(11, 300_000, s7=3000) + way(12, 400_000, s3=2000)
    turns = [(199_000_000, 201_900_000, 0, 1, 1_500_000), (300_000_000, 300_010_000, 1, 0, 0)]
    write(tmp_path, "node", usual + late, turns)
    assert latency(tmp_path).late == {
        "the node was busy with requests, syncing": 1,
        "until: commit ends": 1,
        "until: node's poll returns": 1,
    }


def test_a_wrapped_function_does_what_it_did_and_tells(tmp_path):
    class Adder:
        def add(self, left: int, right: int) -> int:
            return left + right

    told: list[object] = []
    adder = Adder()
    wrap(Adder, "add", before=lambda *args: told.append(args), after=lambda *args: told.append(args))
    assert adder.add(1, right=2) == 3
    assert told == [(adder, 1), (3, adder, 1)]


@pytest.mark.slow
@pytest.mark.processes
def test_a_tiny_run_finds_every_stage_of_nearly_every_event():
    command = [sys.executable, "-m", "tools.profile", "--latency", "--json", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [step["name"] for step in found["steps"]] == [*STAGES[1:], "the whole"]
    assert all(0 <= step["p50"] <= step["p90"] <= step["p99"] for step in found["steps"])
    assert found["steps"][-1]["p50"] > 0
    assert 0 < found["events"] <= 1000
