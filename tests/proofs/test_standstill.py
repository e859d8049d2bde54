"""A subscriber that stands still beside a healthy one: the healthy one does not notice, the other misses nothing.

    usual ─────────│ the other is stopped ──────────│ it catches up │ usual ─────────
    w w w w w w w w  w w w w w w w w w w w w w w w w                 w w w w w w w w     windows of WINDOW_S

The machine is shared, single windows are noisy: of every window the 99th percentile is taken, of these the median.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median, quantiles
from time import time

import pytest

from tests.conditions import elapsed
from tests.processes.cluster import ask
from tests.proofs.evidence import assert_ordered_and_single_in_every_run, by_stream
from tests.proofs.stage import continued, stopped

pytestmark = [pytest.mark.processes, pytest.mark.alone]

TOPICS = [f"T.{number}" for number in range(5)]
WINDOW_S = 0.5
WORSE_MAX = 1.5


def percentiles(calls, spans):
    """The 99th percentile of every window inside the spans (pairs of wall-clock seconds), in milliseconds."""
    windows = defaultdict(list)
    for call in calls:
        at_s = call.published_us / 1e6
        for begin, end in spans:
            number = int((at_s - begin) / WINDOW_S)
            if begin <= at_s and begin + (number + 1) * WINDOW_S <= end:
                windows[begin, number].append((call.called_us - call.published_us) / 1000)
    return [quantiles(each, n=100)[98] for each in windows.values()]


@pytest.mark.parametrize(
    ("rate", "stopped_s"),
    [(1000, 4.0), pytest.param(5000, 30.0, marks=[pytest.mark.slow, pytest.mark.timeout(600)], id="long")],
)
def test_beside_a_subscriber_that_stands_still_the_other_is_as_fast_as_ever(stage, rate, stopped_s):
    node = stage.cluster.node("a", variables={"MESH_NODE_DEDUP_WINDOW_S": "5"})
    stage.consumer("healthy", node)
    halted = stage.consumer("halted", node)
    source = stage.source("source", node, TOPICS, rate=rate)
    source.program.say(do="start")
    elapsed(2.0)  # everything is warm
    moments = [time()]
    elapsed(stopped_s)
    moments.append(time())
    stopped(halted)
    moments.append(time())
    elapsed(stopped_s)
    moments.append(time())
    continued(halted)
    stage.caught_up(node, "halted", lag=rate // 10)
    caught_up = time()
    elapsed(stopped_s)
    ended = time()
    source.do("stop", "stopped")
    stage.settled(node, "healthy", "halted")

    calls = stage.calls("healthy")
    usual = percentiles(calls, [(moments[0], moments[1]), (caught_up, ended)])
    beside = percentiles(calls, [(moments[2], moments[3])])
    catching = percentiles(calls, [(moments[3], caught_up)]) or [0.0]
    print(
        f"FIGURES {rate}/s, stopped {stopped_s:g} s: p99 usual {median(usual):.2f} ms, beside {median(beside):.2f} ms, "
        f"while it caught up ({caught_up - moments[3]:.1f} s) {median(catching):.2f} ms"
    )
    assert median(beside) <= WORSE_MAX * median(usual)

    heads = {(row["origin"], row["topic"]): row["published"] for row in ask(node, "audit")["streams"]}
    every = {stream: list(range(1, heads[stream] + 1)) for stream in heads if stream[1] in TOPICS}
    for name in ("healthy", "halted"):
        assert by_stream(stage.calls(name)) == every
        assert_ordered_and_single_in_every_run(name, stage.calls(name))
    assert Counter(given.status for given in stage.receipts("source")) == {"accepted": sum(map(len, every.values()))}
    audit = ask(node, "audit")
    assert (audit["balanced"], audit["lost_ranges"]) == (True, [])
