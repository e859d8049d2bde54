import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import orjson
import psutil
import pytest

from tools.bench.child import Child
from tools.bench.contender import BenchFailed, lacking
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Spread, make_run, percentile, percentiles, rate, ratio, spread, summarise
from tools.bench.report import as_json
from tools.bench.roles import Tally
from tools.bench.runner import Cell, Plan, in_turns
from tools.bench.workloads import WORKLOADS, Source, body_bytes, drive, make_templates

ROOT = Path(__file__).parents[2]
RUN_ELSEWHERE = ("zmq-proxy", "meshbus")
PROCESSES = {"publisher", "broker", "subscriber"}
SHORT = ("--rounds", "1", "--seconds", "0.2", "--warmup", "0.05", "--quiet", "1.5")


def report_of(delivered: int, seconds: float, arrived: int | None = None, begin_ns: int = 5_000_000_000) -> dict:
    latency = {"p50": 1.0, "p99": 2.0, "p99_9": 3.0, "max": 4.0}
    arrived = delivered if arrived is None else arrived
    end_ns = begin_ns + int(seconds * 1e9)
    return {
        "arrived": arrived,
        "delivered": delivered,
        "begin_ns": begin_ns,
        "end_ns": end_ns,
        "latency_us": latency,
    }


def run_of(delivered: int, seconds: float = 2.0):
    return make_run(1000, [report_of(delivered, seconds)], 0.0, {"publisher": 0.5, "broker": 0.2, "subscriber": 1.0})


# ---- workloads


def published(workload: str, first: int, seconds: float) -> tuple[list[tuple[str, dict]], Source]:
    source, events = Source(WORKLOADS[workload], first), []
    drive(source.items(seconds), lambda topic, payload: events.append((topic, payload)))
    return events, source


def test_every_event_has_100_to_300_bytes_and_a_content_of_its_own():
    events, source = published("burst", 5, 0.05)
    bodies = [orjson.dumps(payload) for _, payload in events]
    assert source.published == len(bodies) == len(set(bodies))
    assert [payload["n"] for _, payload in events] == list(range(5, 5 + len(bodies)))
    assert 100 <= min(map(len, bodies)) <= max(map(len, bodies)) <= 300
    assert {topic for topic, _ in events} == {"bench.TRAINING_COMPLETED"}


@pytest.mark.parametrize(("kind", "size"), [("document", 8 << 10), ("large", 200 << 10)])
def test_documents_have_the_size_they_say(kind, size):
    assert size * 0.8 <= body_bytes(kind) <= size * 1.2


@pytest.mark.parametrize(("workload", "count"), [("singles", 2), ("topics-200", 200)])
def test_topics_take_turns(workload, count):
    events, _ = published(workload, 0, 0.02)
    topics = [topic for topic, _ in events]
    assert len(set(topics[:count])) == count
    assert topics[count : 2 * count] == topics[:count]


def test_events_are_the_same_in_every_process():
    assert make_templates() == make_templates()


def test_a_paced_publisher_keeps_its_schedule():
    events, source = published("latency", 0, 0.2)
    assert source.published == len(events) == len(source.late_us) == 200
    first, last = events[0][1]["sent_ns"], events[-1][1]["sent_ns"]
    assert last - first >= 199_000_000 - source.late_us[0] * 1e3
    assert min(source.late_us) >= 0


# ---- figures


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0.0), ([7], 0.999, 7), ([1, 2, 3, 4], 0.5, 2), ([1, 2, 3, 4], 0.99, 4), (range(1, 1001), 0.99, 990)],
)
def test_a_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


def test_percentiles_take_values_in_any_order():
    assert percentiles([3, 1, 2]) == {"p50": 2, "p99": 3, "p99_9": 3, "max": 3}


def test_what_was_published_and_did_not_arrive_is_lost_and_what_arrived_again_is_repeated():
    run = make_run(100, [report_of(90, 3.0, arrived=95)], 0.0, {"broker": 0.9})
    assert (run.lost, run.repeated, run.events_per_s, run.cpu_us) == (10, 5, 30.0, {"broker": 10_000.0})


def test_a_run_that_delivered_nothing_has_no_rate():
    run = make_run(100, [report_of(0, 0.0)], 0.0, {"broker": 0.0})
    assert (run.lost, run.events_per_s) == (100, 0.0)


def test_the_ratio_is_taken_within_each_round():
    ours, theirs = [run_of(100), run_of(400), run_of(90)], [run_of(200), run_of(500), run_of(100)]
    assert ratio(ours, theirs, rate) == Spread(median=0.8, least=0.5, greatest=0.9)
    summary = summarise("b", "burst", theirs, ours)
    assert summary.ratio == Spread(median=0.8, least=0.5, greatest=0.9)
    assert summary.events_per_s == Spread(median=100.0, least=50.0, greatest=250.0)
    assert (summary.expected, summary.lost, summary.repeated) == (3000, 2200, 0)


def test_several_subscribers_deliver_together_from_the_first_to_the_last_of_all():
    reports = [report_of(100, 2.0), report_of(90, 1.0, begin_ns=8_000_000_000)]
    run = make_run(100, reports, 0.0, {"broker": 1.9})
    assert (run.expected, run.delivered, run.lost, run.seconds, run.events_per_s) == (200, 190, 10, 4.0, 47.5)
    assert run.cpu_us == {"broker": 10_000.0}


def test_the_spread_is_median_least_and_greatest():
    assert spread([5, 1, 2]) == Spread(2, 1, 5)


def test_cells_take_turns_and_each_round_begins_with_another():
    cells = [Cell(CONTENDERS[name], WORKLOADS["burst"]) for name in ("meshbus", "nats", "zenoh")]
    order = [(round_, cell.contender.name) for round_, cell in in_turns(cells, 2)]
    assert order == [(0, "meshbus"), (0, "nats"), (0, "zenoh"), (1, "nats"), (1, "zenoh"), (1, "meshbus")]


def test_a_tally_counts_from_the_number_it_was_told():
    tally, clock = Tally(), count(1)
    tally({"n": 1, "sent_ns": next(clock)})
    tally.begin(10)
    for number in (9, 10, 11, 11, 12):
        tally({"n": number, "sent_ns": next(clock)})
    report = tally.report()
    assert (report["arrived"], report["delivered"]) == (4, 3)
    assert report["end_ns"] > report["begin_ns"] > 0


def test_the_json_names_every_contender_and_the_plan():
    summary = summarise("meshbus", "burst", [run_of(5)], [run_of(5)])
    found = as_json([CONTENDERS["meshbus"]], {"nats": "it is not installed"}, Plan(rounds=1), [summary])
    assert found["contenders"] == {"meshbus": CONTENDERS["meshbus"].terms._asdict()}
    assert found["missing"] == {"nats": "it is not installed"}
    assert found["plan"] == {"rounds": 1, "seconds": 2.0, "warmup_s": 0.5, "quiet_s": 3.0}
    assert json.loads(json.dumps(found))["results"][0]["runs"][0]["delivered"] == 5


# ---- children


@pytest.mark.processes
def test_a_child_that_ends_too_early_is_an_error_with_its_last_words(tmp_path):
    with pytest.raises(BenchFailed, match=r"^the broker ended: ValueError: no such port$"):
        Child("the broker", ["-c", "raise ValueError('no such port')"], tmp_path / "log")


@pytest.mark.processes
def test_a_child_ends_when_its_input_does(tmp_path):
    script = "import sys; print('{}', flush=True); sys.stdin.read()"
    with Child("the reader", ["-c", script], tmp_path / "log") as child:
        process = psutil.Process(child.pid)
        assert process.is_running()
    assert not process.is_running()


# ---- the whole


def run_bench(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.bench", *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


def processes_that_name(directory: Path) -> list[list[str]]:
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(directory) in part for part in line)]


@pytest.mark.processes
def test_a_tiny_run_prints_the_stated_json_and_leaves_nothing_behind(tmp_path):
    done = run_bench(tmp_path, "--json", *SHORT, "-w", "burst", "-w", "latency", "-c", "meshbus", "-c", "zmq-proxy")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"machine", "plan", "contenders", "missing", "results"}
    assert set(found["machine"]) == {"cpus", "python", "platform", "load_1m"}
    assert list(found["contenders"]) == ["meshbus", "zmq-proxy"]
    expected = [(workload, contender) for workload in ("burst", "latency") for contender in found["contenders"]]
    assert [(each["workload"], each["contender"]) for each in found["results"]] == expected
    for each in found["results"]:
        assert set(each["events_per_s"]) == set(each["ratio"]) == {"median", "least", "greatest"}
        assert set(each["latency_us"]) == {"p50", "p99", "p99_9", "max"}
        assert set(each["cpu_us"]) == PROCESSES
        (run,) = each["runs"]
        assert run["delivered"] > 100
        assert run["delivered"] + run["lost"] == run["published"] == each["expected"]
        assert (run["lost"], run["repeated"]) == (0, 0)
        if each["workload"] == "latency":
            assert run["published"] == 200
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("name", [name for name in CONTENDERS if name not in RUN_ELSEWHERE])
def test_every_contender_that_is_installed_delivers(name, tmp_path):
    if why := CONTENDERS[name].missing():
        pytest.skip(why)
    done = run_bench(tmp_path, "--json", *SHORT, "-w", "singles", "-c", name)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    assert found["runs"][0]["delivered"] > 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_an_unknown_contender_is_refused_with_the_known_ones(tmp_path):
    done = run_bench(tmp_path, "-c", "carrier-pigeon")
    assert done.returncode == 2
    assert "carrier-pigeon" in done.stderr
    assert "zmq-proxy" in done.stderr


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.inner", "json.no_such_module"])
def test_a_module_that_is_lacking_is_named_also_where_its_package_is(module):
    assert lacking(modules=["json.decoder", module]) == (
        f"the Python module {module} is not installed (the extra `bench` has it)"
    )


@pytest.mark.parametrize("tool", ["bench", "profile"])
@pytest.mark.parametrize(("flags", "code"), [(["--help"], 0), ([], 1)])
def test_what_is_not_installed_is_named_with_how_to_get_it(tool, flags, code):
    without = f"import sys, runpy; sys.modules['psutil'] = None; sys.argv = ['{tool}', *{flags}]"
    program = f"{without}; runpy.run_module('tools.{tool}', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if flags != ["--help"]:
        assert "error: psutil is not installed; pip install -e '.[bench,plot]'" in done.stderr
