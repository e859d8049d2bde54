import pytest

from tools.bench.plot import draw, grouped

SPREAD = {"median": 2.0, "least": 1.0, "greatest": 4.0}


def result(workload: str, contender: str) -> dict:
    return {"workload": workload, "contender": contender, "events_per_s": SPREAD, "latency_us": {"p99": SPREAD}}


def test_bars_are_grouped_by_workload_and_latencies_are_drawn_where_the_rate_is_given():
    found = {"results": [result("burst", "meshbus"), result("burst", "nats"), result("latency", "meshbus")]}
    assert grouped(found) == {
        "burst: events/s": [("meshbus", SPREAD), ("nats", SPREAD)],
        "latency: p99, µs": [("meshbus", SPREAD)],
    }


def test_of_targets_only_those_that_compare_are_drawn():
    base = {"about": "events", "measured": SPREAD}
    targets = [{**base, "against": "nats"}, {**base, "against": ""}, {**base, "measured": None, "against": "zenoh"}]
    assert grouped({"targets": targets}) == {"ratio to the other system": [("events / nats", SPREAD)]}


def test_the_picture_is_an_svg_with_the_names_in_it(tmp_path):
    pytest.importorskip("matplotlib")
    draw({"results": [result("burst", "meshbus"), result("latency", "meshbus")]}, tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text()
    assert text.startswith("<?xml")
    assert "<svg" in text
