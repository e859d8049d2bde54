"""Fixtures of the stories with real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.cluster import Cluster, cluster_in_tmp


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Nodes and programs that end with the test."""
    with cluster_in_tmp() as cluster:
        yield cluster
