"""The wiring as one node sees it: what it knows of streams, consumers and programs, in one row."""

from time import time

import pytest

from mesh.client import NodeClient
from node.testing import LocalMesh
from tests.conditions import eventually


@pytest.fixture
def two():
    with LocalMesh(nodes=2) as mesh:
        yield mesh


def row(mesh, node=0):
    with NodeClient(mesh.nodes[node].data_dir) as client:
        (row,) = client.request("wiring.view")["rows"]
    return row


def nothing(event):
    pass


def test_a_node_that_has_seen_nothing_says_so(two):
    assert row(two) == {
        "node": "n0",
        "emitted": {},
        "origins": {},
        "subscribed": {},
        "attached": {},
        "critical": [],
    }


def test_what_was_announced_has_its_moment_and_its_origins(two):
    here, there = two.connect(node=0), two.connect(node=1)
    here.subscribe("A", nothing, name="a")
    began = time()
    ids = [bus.publish("A", {"n": number}).wait(10).event_id for number, bus in enumerate((here, there))]
    here.publish("B", {}).wait(10)
    found = eventually(lambda: len(row(two)["origins"].get("A", ())) == 2 and row(two))
    assert found["origins"] == {
        "A": sorted(each.partition("/")[0] for each in ids),
        "B": [ids[0].partition("/")[0]],
    }
    assert list(found["emitted"]) == ["A", "B"]
    assert all(began - 1 < at < time() + 1 for at in found["emitted"].values())
    assert list(row(two, 1)["emitted"]) == ["A"]


def test_a_durable_consumer_that_is_away_is_subscribed_and_not_attached(two):
    bus = two.connect(node=0)
    bus.subscribe("A", nothing, name="away", durable=True).close()
    bus.subscribe("A", nothing, name="gone").close()
    bus.subscribe("A", nothing, name="here")
    bus.subscribe("gpu.*", nothing, name="gpu")
    found = row(two)
    assert found["subscribed"] == {"A": ["away", "here"], "gpu.*": ["gpu"]}
    assert found["attached"] == {"A": ["here"], "gpu.*": ["gpu"]}


def test_critical_is_what_a_program_has_declared(two):
    two.connect(node=0).report_wiring({"groups": {}, "critical": ["B", "A"]})
    eventually(lambda: row(two)["critical"] == ["A", "B"])
    assert row(two, 1)["critical"] == []
