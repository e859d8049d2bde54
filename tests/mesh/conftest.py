"""A node of the tests' own, and a bus that is attached to it."""

import pytest

import mesh
from tests.mesh.fake_node import FakeNode


@pytest.fixture
def node(tmp_path):
    fake = FakeNode(tmp_path).start()
    yield fake
    fake.stop()


@pytest.fixture
def bus(node):
    with mesh.connect(node.data_dir, name="test") as bus:
        assert bus.wait_attached(10.0)
        yield bus
