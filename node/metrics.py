"""Metrics: a snapshot in the words of Prometheus. Names begin with `mesh_`, units are seconds, bytes and events.

Counters start with the process. What is named by peer, consumer or topic has as many series as the node has peers,
consumers and critical topics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from node.durations import BOUNDS_S
from node.snapshot import Snapshot

Row = dict[str, Any]

_COUNTS = {
    "published": ("mesh_events_published", "Events that entered the mesh at this node."),
    "forwarded here": ("mesh_events_received", "Events that peers forwarded to this node and that were new here."),
    "duplicates": ("mesh_events_duplicate", "Events whose content was announced before, within the dedup window."),
    "repeated": ("mesh_events_repeated", "Events that were here already: resends and echoes."),
    "rejected": ("mesh_events_rejected", "Events of publishers whose content hashes were wrong."),
    "ephemeral": ("mesh_events_ephemeral", "Events that passed without being logged."),
    "refused disk": (
        "mesh_events_refused",
        "Events not taken in because the disk refused; their publishers keep them.",
    ),
}
_REFUSED = ("malformed ", "refused connection")
"""How the names of counts begin that are of what was not taken in because of what it was."""

_PEER = {
    "sent": ("mesh_peer_frames_sent", "Frames forwarded to a peer."),
    "received": ("mesh_peer_frames_received", "Frames that came from a peer."),
    "repaired": ("mesh_peer_events_repaired", "Events that were lost on the way and came from a peer's log."),
    "dropped": ("mesh_peer_frames_dropped", "Frames for a peer that its full queue did not take."),
}


def exposition(snapshot: Snapshot) -> bytes:
    """The page `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(snapshot))
    return generate_latest(registry)


class _Families(Collector):
    """All families of one snapshot, in a registry of its own: nothing global, nothing of the library's process."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot, status = self._snapshot, self._snapshot.status
        for key, (name, text) in _COUNTS.items():
            yield CounterMetricFamily(name, text, value=snapshot.counts.get(key, 0))
        yield _refused(snapshot.counts)
        yield from _node(snapshot)
        yield from _peers(status["peers"])
        yield from _log(status["log"], status["dlq"])
        yield from _consumers(status["consumers"])
        yield _turns(snapshot)


def _refused(counts: Mapping[str, int]) -> Metric:
    """The kind without what stands behind its colon, of which there may be any number."""
    kinds: Counter[str] = Counter()
    for name, count in counts.items():
        if name.startswith(_REFUSED):
            kinds[name.partition(":")[0]] += count
    family = CounterMetricFamily("mesh_refused", "Frames, requests and connections not taken in.", labels=["kind"])
    return _labelled(family, sorted(kinds.items()))


def _node(snapshot: Snapshot) -> Iterator[Metric]:
    status = snapshot.status
    yield GaugeMetricFamily("mesh_ready", "1 while the node is ready (/readyz).", value=not snapshot.unready)
    yield GaugeMetricFamily("mesh_uptime_seconds", "Since the start.", value=status["node"]["uptime_s"])
    yield GaugeMetricFamily(
        "mesh_snapshot_timestamp_seconds", "When these figures were taken.", value=snapshot.taken.wall_us / 1e6
    )
    yield GaugeMetricFamily(
        "mesh_dedup_remembered_events", "Contents in the dedup window.", value=status["dedup"]["remembered"]
    )
    critical = status["event_subscription_status"]["critical"]
    yield _labelled(
        GaugeMetricFamily("mesh_critical_subscription_held", "1 while a critical topic is held.", labels=["topic"]),
        ((row["topic"], row["missing"] is None) for row in critical),
    )
    yield CounterMetricFamily(
        "mesh_handler_timeouts", "Handlers given up after their timeout.", value=status["handler_timeouts"]["total"]
    )


def _peers(rows: list[Row]) -> Iterator[Metric]:
    """One series a name, also where two nodes have the same one: a series must not come twice."""
    named = [row for row in rows if row["name"]]
    up = GaugeMetricFamily("mesh_peer_up", "1 while the link to a peer stands.", labels=["peer"])
    linked = {row["name"] for row in named if row["link"] == "up"}
    yield _labelled(up, ((name, name in linked) for name in {row["name"]: None for row in named}))
    for key, (name, text) in _PEER.items():
        totals: dict[str, int] = {}
        for row in named:
            totals[row["name"]] = totals.get(row["name"], 0) + row[key]
        yield _labelled(CounterMetricFamily(name, text, labels=["peer"]), totals.items())


def _log(log: Row, dlq: Row) -> Iterator[Metric]:
    yield GaugeMetricFamily("mesh_log_events", "Events in the replay log.", value=log.get("events", 0))
    yield GaugeMetricFamily("mesh_log_bytes", "Size of the database file.", value=log.get("bytes", 0))
    yield GaugeMetricFamily("mesh_streams", "Streams known here.", value=log["streams"])
    letters = GaugeMetricFamily("mesh_dlq_letters", "Dead letters, by state.", labels=["state"])
    yield _labelled(letters, ((state, dlq.get(state, 0)) for state in ("waiting", "dead")))


def _consumers(rows: list[Row]) -> Iterator[Metric]:
    lag = GaugeMetricFamily("mesh_consumer_lag_events", "Events a consumer has not settled.", labels=["consumer"])
    yield _labelled(lag, ((row["consumer"], row["lag"]) for row in rows if row["lag"] is not None))
    attached = GaugeMetricFamily("mesh_consumer_attached", "1 while a program is attached.", labels=["consumer"])
    yield _labelled(attached, ((row["consumer"], row["state"] == "attached") for row in rows))
    settled = CounterMetricFamily("mesh_consumer_settled", "Events a consumer has handled.", labels=["consumer"])
    yield _labelled(settled, ((row["consumer"], row["settled"]) for row in rows))
    failed = CounterMetricFamily("mesh_consumer_failed", "Events that became letters.", labels=["consumer"])
    yield _labelled(failed, ((row["consumer"], row["failed"]) for row in rows))


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily | CounterMetricFamily:
    for label, value in values:
        family.add_metric([label], value)
    return family


def _turns(snapshot: Snapshot) -> Metric:
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, snapshot.turns.cumulative, strict=True))
    return HistogramMetricFamily(
        "mesh_turn_seconds", "How long the node's turns take.", buckets=buckets, sum_value=snapshot.turns.sum_s
    )
