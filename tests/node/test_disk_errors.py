"""The disk refuses for a while: the memory is then exactly what the disk says, and afterwards nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from node.state import State
from node.store import Store
from tests.node.lives import Life, World
from tests.node.power_cut import Disk

_names = count(1)


@pytest.fixture(autouse=True)
def _small_write_ahead_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold the write-ahead log into the file every few turns, so that errors meet that too."""
    monkeypatch.setattr("node.store._WAL_BYTES", 160 << 10)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk(f"broken-{next(_names)}", 0)
    yield made
    made.unregister()


def known(state: State, world: World) -> dict[str, Any]:
    """What a node knows that is also on its disk. Publishers that have published nothing stand nowhere there."""
    relay, now_us = state.relay, world.now.mono_us
    found = {hash_: relay.window.find(hash_, now_us, relay.window.keep_us) for hash_ in world.left.values()}
    consumers = {}
    for name, consumer in state.consumers.items():
        followings = [(each.durable, each.cursors, each.crashes) for each in consumer.followings]
        consumers[name] = (consumer.books, followings)
    return {
        "streams": {key: (each.id, each.base, each.head) for key, each in relay.streams.items()},
        "publishers": {key: (each.number, each.position) for key, each in relay.publishers.items() if each.number},
        "window": {hash_: sighting[:3] for hash_, sighting in found.items() if sighting},
        "consumers": consumers,
        "interest": state.interest.patterns,
        "next position": state.next_position,
    }


def on_disk(life: Life) -> dict[str, Any]:
    """What a node knows that starts now on the same file."""
    store, state = Store(life.path), life.state
    fresh = State(state.name, state.generation, store, lambda topic: 60_000_000, 60_000_000, lambda: 0.5)
    fresh.load(life.world.now)
    store.close()
    return known(fresh, life.world)


ERRORS: list[Callable[[], Exception]] = [
    lambda: apsw.FullError("disk full"),
    lambda: apsw.IOError("write failed"),
    lambda: apsw.ReadOnlyError("remounted"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["full", "input/output", "read-only"])
def test_after_every_refused_turn_the_memory_is_what_the_disk_says(
    tmp_path: Path, disk: Disk, error: Callable[[], Exception]
) -> None:
    world, troubles = World(3), 0
    life = Life(tmp_path, world, vfs=disk.name)
    life.begin()
    for step in range(300):
        disk.broken = error if step % 60 in range(20, 30) else None  # a step is some 40 ms of the node's time
        life.step()
        if life.node.trouble:
            troubles += 1
            assert known(life.state, world) == on_disk(life)
    disk.broken = None
    for _ in range(300):
        life.step()
    assert troubles > 50
    assert life.node.trouble is None
    assert life.lost() == []
    life.assert_kept()
    assert [writer.waiting for writer in world.writers.values()] == [[], [], []]
    assert world.counts["accepted"] + world.counts["duplicate"] == world.counts["made"]
    life.store.close()
