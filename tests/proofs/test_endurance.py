"""Many events through one node that keeps little: memory stays flat, the database small, nothing is lost on the way."""

from __future__ import annotations

import psutil
import pytest

from tests.conditions import eventually
from tests.processes.cluster import ask

pytestmark = pytest.mark.processes

MIB = 1 << 20
TOPICS = [f"T.{number}" for number in range(8)]
FIFTHS = (20, 40, 60, 80, 100)
GROWTH = 1.10
SLACK_BYTES = 4 * MIB
"""What a process may grow beyond its state at 40 %: a tenth, and a few buffers of the allocator."""


class Sample:
    """How large everything is at one moment."""

    def __init__(self, pids, database):
        self.resident = {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}
        self.database = database.stat().st_size
        self.wal = database.with_name(database.name + "-wal").stat().st_size

    def __str__(self):
        sizes = {**self.resident, "database": self.database, "wal": self.wal}
        return ", ".join(f"{name} {size / MIB:.1f}" for name, size in sizes.items())


@pytest.mark.parametrize(
    ("events", "rate", "log_bytes"),
    [
        (50_000, 6000, 4 * MIB),
        pytest.param(1_000_000, 5000, 32 * MIB, marks=[pytest.mark.slow, pytest.mark.timeout(1800)], id="long"),
    ],
)
def test_memory_is_flat_and_the_database_bounded_while_retention_works(stage, events, rate, log_bytes):
    # A short window: the hashes it remembers would grow for a minute, which is no leak and would look like one.
    variables = {"MESH_NODE_LOG_BYTES": str(log_bytes), "MESH_NODE_DEDUP_WINDOW_S": "1"}
    node = stage.cluster.node("a", variables=variables)
    meter = stage.meter("meter", node)
    source = stage.source("source", node, TOPICS, rate=rate, count=events, filler=40)
    pids = {"node": node.pid, "publisher": source.ready()["pid"], "subscriber": meter.ready()["pid"]}
    source.program.say(do="start")
    samples = {}
    for percent in FIFTHS:
        due = events * percent // 100
        eventually(lambda due=due: stage.called("source") >= due, 60.0 + 3 * events / rate, f"{due} receipts")
        samples[percent] = Sample(pids, node.data_dir / "mesh.db")
    assert source.do("wait", "done") == {"done": True, "published": events}
    stage.settled(node, "meter")

    for percent, sample in samples.items():
        print(f"FIGURES {events} events, MiB at {percent} %: {sample}")
    assert meter.do("tell", "count")["count"] == events
    assert meter.do("tell", "broken")["broken"] == 0
    warm = samples[40].resident
    for percent in (60, 80, 100):
        grown = {name: size - warm[name] for name, size in samples[percent].resident.items()}
        assert all(more <= (GROWTH - 1) * warm[name] + SLACK_BYTES for name, more in grown.items()), (percent, grown)
    assert max(sample.database for sample in samples.values()) <= 1.5 * log_bytes
    audit = ask(node, "audit")
    books = next(row for row in audit["consumers"] if row["consumer"] == "meter")
    assert (books["settled"], books["lost"], books["in_flight"]) == (events, 0, 0)
    assert sum(row["deleted"] for row in audit["streams"]) > 0  # retention has worked
    assert audit["balanced"]
