import pytest

from tests.tools.test_bench import report_of
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Spread, make_run, rate
from tools.bench.runner import Plan
from tools.bench.targets import TARGETS, Target, judge, node_cpu, p99
from tools.bench.targets_report import make_targets_table, targets_json
from tools.bench.workloads import WORKLOADS

OURS, THEIRS = ("meshbus", "burst"), ("nats", "burst")


def run_of(delivered: int, broker_s: float = 0.2):
    return make_run(1000, [report_of(delivered, 2.0)], 0.0, {"broker": broker_s})


def target(figure=rate, bound="at least", limit=1.0, theirs=THEIRS) -> Target:
    return Target("events", figure, bound, limit, OURS, theirs)


@pytest.mark.parametrize(
    ("bound", "limit", "met"),
    [("at least", 2.0, True), ("at least", 2.1, False), ("at most", 2.0, True), ("at most", 1.9, False)],
)
def test_a_target_is_met_when_the_median_of_the_rounds_keeps_within_its_bound(bound, limit, met):
    ours, theirs = [run_of(200), run_of(900), run_of(400)], [run_of(100), run_of(100), run_of(400)]
    verdict = judge(target(bound=bound, limit=limit), {OURS: ours, THEIRS: theirs})
    assert verdict.measured == Spread(2.0, 1.0, 9.0)
    assert verdict.met is met
    assert verdict.lost == "50.0 % / 80.0 %"


def test_without_the_other_system_there_is_no_verdict():
    verdict = judge(target(), {OURS: [run_of(200)]})
    assert (verdict.measured, verdict.met, verdict.against) == (None, None, "nats")


def test_a_figure_by_itself_is_held_against_its_bound_directly():
    verdict = judge(target(node_cpu, "at most", 2500.0, None), {OURS: [run_of(100, 0.2), run_of(100, 0.3)]})
    assert verdict.measured == verdict.ours == Spread(2500.0, 2000.0, 3000.0)
    assert verdict.met is True


def test_the_percentile_of_a_run_is_in_microseconds():
    assert p99(run_of(5)) == 2.0


def test_every_target_names_contenders_and_workloads_that_there_are():
    named = {name for each in TARGETS for name in (each.ours, each.theirs) if name}
    assert {contender for contender, _ in named} <= set(CONTENDERS)
    assert {workload for _, workload in named} <= set(WORKLOADS)


def test_the_table_and_the_json_say_which_targets_are_met():
    verdicts = [
        judge(target(limit=limit), {OURS: [run_of(200)], THEIRS: [run_of(100)]} if limit else {OURS: [run_of(1)]})
        for limit in (1.5, 3.0, 0.0)
    ]
    assert [each["met"] for each in targets_json(verdicts, Plan())["targets"]] == [True, False, None]
    table = make_targets_table(verdicts)
    (met,) = [column for column in table.columns if column.header == "met"]
    assert list(met.cells) == ["yes", "NO", "not measured"]
