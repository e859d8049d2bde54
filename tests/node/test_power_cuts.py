"""The power goes, anywhere: what the node said before is still true afterwards, and nothing is said twice differently.

The disk is `tests.node.power_cut.Disk`: it forgets, keeps or tears what was not synced. The node is real (`lives`).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from node.database import Durability
from node.identity import sign_off
from tests.node.lives import Life, World
from tests.node.power_cut import Disk
from tests.node.workbench import Author, Bench, directed

_names = count(1)


@pytest.fixture(autouse=True)
def _small_write_ahead_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold the write-ahead log into the file every few turns, so that cuts meet that too."""
    monkeypatch.setattr("node.store._WAL_BYTES", 160 << 10)


@contextlib.contextmanager
def disk_of(seed: object) -> Iterator[Disk]:
    """A disk that is forgotten afterwards."""
    disk = Disk(f"disk-{next(_names)}", seed)
    yield disk
    disk.unregister()


def found(directory: Path, world: World) -> None:
    """Start a node on what a cut has left: nothing is missing, and all authors get all their receipts."""
    life = Life(directory, world)
    assert life.lost() == []
    life.assert_kept()
    life.adopt()
    life.begin()
    life.step()
    assert [writer.waiting for writer in world.writers.values()] == [[] for _ in world.writers]
    assert life.lost() == []
    life.store.close()


@pytest.mark.parametrize(("seed", "turns"), [(0, 14), pytest.param(1, 60, marks=pytest.mark.slow)])
def test_a_cut_at_any_write_of_a_run_loses_nothing_that_was_said(tmp_path: Path, seed: int, turns: int) -> None:
    """From the creation of the file to its closing: every write, sync, truncation and deletion is such a moment."""
    run, world = tmp_path / "run", World(seed, ("p", "q"), log_events=30)
    run.mkdir()
    with disk_of(seed) as disk:

        def cut() -> None:
            image = tmp_path / f"cut-{disk.moments}"
            disk.cut(image)
            found(image, world.copy())

        disk.moment = cut
        life = Life(run, world, vfs=disk.name)
        life.begin()
        for _ in range(turns):
            life.step()
        life.store.close()
    assert disk.moments > 20 * turns
    assert world.trimmed > 0
    assert world.letters


class Lives:
    """One node that lives on and on, each time until its power goes. `counts` says what became of it."""

    def __init__(self, root: Path, disk: Disk, seed: object, durability: Durability) -> None:
        self.world = World(seed)
        self.counts: Counter[str] = Counter()
        self.generations: list[str] = []
        self._spoken: set[str] = set()
        self._root = root
        self._disk = disk
        self._durability: Durability = durability
        self._draw = Random(str(seed))
        self._in_order = False
        self._signing_off = False
        self._powered = True
        self._moments_left = 0
        self._place = root / "0"
        self._place.mkdir()
        disk.moment = self._moment

    def _moment(self) -> None:
        self._moments_left -= 1
        if self._moments_left == 0:
            self._cut()

    def _cut(self) -> None:
        self._powered = False
        self.counts["cuts"] += 1
        self._place = self._root / str(self.counts["cuts"])
        self._disk.cut(self._place)

    def live(self) -> None:
        """One life: it ends somewhere in a turn, or in a start or a stop, or with a cut after a stop in good order."""
        self._powered, self._moments_left = True, self._draw.randint(1, 250)
        life = Life(self._place, self.world, self._durability, self._disk.name, lambda: self._powered)
        if self._powered:
            self._meet(life)
            life.begin()
        while self._powered:
            life.step()
            if self._moments_left > 0 and self._draw.random() < 0.05:
                self._stop(life)
        life.store.close()

    def _meet(self, life: Life) -> None:
        """Compare what the disk says with what the world was told, most of all who has given out sequences."""
        lost = life.lost()
        if self._durability == "full" or self._in_order:
            assert lost == []
            life.assert_kept()
        if self._durability == "os" and life.generation in self._spoken:
            assert self._signing_off, "a generation came back that nobody had signed off"
            assert lost == []
        self.counts["kept"] += self._in_order and life.generation == self.generations[-1]
        self.counts["lost"] += len(lost)
        self.counts["lives"] += 1
        self.generations.append(life.generation)
        self._spoken.add(life.generation)
        self._in_order = self._signing_off = False
        self.world.forget(lost)
        life.adopt()

    def _stop(self, life: Life) -> None:
        self._signing_off = True  # a cut in its midst may leave it on disk: then everything before it is there too
        sign_off(life.store)
        self._in_order = self._powered
        if self._in_order:
            self.counts["stops"] += 1
            self._spoken.discard(life.generation)
        life.store.close()
        if self._moments_left > 0:
            self._cut()


def lives(tmp_path: Path, seed: object, durability: Durability, cuts: int) -> Lives:
    """A node that has lived until its power was cut so many times."""
    with disk_of(seed) as disk:
        node = Lives(tmp_path, disk, seed, durability)
        while node.counts["cuts"] < cuts:
            node.live()
    assert node.counts["lives"] > cuts / 2
    assert node.counts["stops"] > 2
    assert node.world.counts["accepted"] > 10 * cuts
    return node


CUTS = [(0, 100), *(pytest.param(seed, 250, marks=pytest.mark.slow) for seed in range(1, 5))]


@pytest.mark.parametrize(("seed", "cuts"), CUTS)
def test_a_node_that_loses_its_power_again_and_again_loses_nothing_that_was_said(
    tmp_path: Path, seed: int, cuts: int
) -> None:
    node = lives(tmp_path, seed, "full", cuts)
    assert node.counts["lost"] == 0
    assert len(set(node.generations)) == 1


@pytest.mark.parametrize(("seed", "cuts"), CUTS)
def test_with_durability_os_receipted_events_are_lost_and_no_sequence_is_used_twice(
    tmp_path: Path, seed: int, cuts: int
) -> None:
    """Lost is what `full` never loses; that each event's id is its own is asserted at every event that leaves."""
    node = lives(tmp_path, seed, "os", cuts)
    assert node.counts["lost"] > 0
    assert len(set(node.generations)) > cuts / 2
    assert 0 < node.counts["kept"] <= node.counts["stops"]


def test_what_was_receipted_before_a_new_generation_is_receipted_again_under_its_own_origin(tmp_path: Path) -> None:
    bench, author = Bench(tmp_path), Author()
    bench.greet(author)
    former, frame = bench.origin, author.frame("A", 1, 2)
    bench.turn(frame)
    bench.generation = "00000002"
    bench.restart()
    bench.greet(author)
    again, news = directed(bench.turn(frame, author.frame("A", 3)), author.id)
    assert (again["origin"], again["runs"]) == (former, [[1, 2, "A", 1]])
    assert (news["origin"], news["runs"]) == (bench.origin, [[3, 1, "A", 1]])
