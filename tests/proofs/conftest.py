"""Fixtures of the proofs: a stage whose every chance comes from one seed, which a failure shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.processes.cluster import cluster_in_tmp
from tests.proofs.stage import Stage, new_seed


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nodes and programs that end with the test. `MESH_PROOF_SEED=…` repeats what is drawn."""
    seed = new_seed()
    print(f"MESH_PROOF_SEED={seed}")
    with cluster_in_tmp() as cluster:
        yield Stage(cluster, random.Random(seed))
