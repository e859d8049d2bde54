"""Disks that are full, read-only, locked, damaged or not ours: what was receipted stays true, and people are told."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

import mesh
import node.agent
from mesh.node_process import NodeProcess
from node.database import APPLICATION_ID
from node.embedded import EmbeddedNode
from node.store import Store
from tests.conditions import elapsed, eventually
from tests.node.power_cut import Disk
from tests.processes.cluster import ROOT, ask, log_of
from tests.processes.disks import fill, mounted, node_on, run

pytestmark = pytest.mark.processes

MISERY = "no event is receipted until"
RELIEF = "the disk is well again"


@pytest.fixture
def root() -> Iterator[Path]:
    """A short directory of its own."""
    made = Path(tempfile.mkdtemp(prefix="mesh-"))
    yield made
    shutil.rmtree(made)


class Story:
    """A bus that publishes and one that listens. `told`: index → receipt; `seen`: how often each event arrived."""

    def __init__(self, data_dir: Path, events_max: int = 400) -> None:
        self.bus = mesh.connect(data_dir, name="publisher", buffer_events=events_max)
        self.told: dict[int, mesh.Receipt] = {}
        self.seen: Counter[str] = Counter()
        self.passed: list[Any] = []
        self._ear = mesh.connect(data_dir, name="listener")
        assert self.bus.wait_attached(15.0)
        self._ear.subscribe("T", lambda event: self.seen.update([event.id]), name="listener")
        self._ear.subscribe("E", lambda event: self.passed.append(event.payload), name="passing")

    def publish(self, size: int = 200) -> mesh.Receipt:
        """One more event, unlike any other."""
        index = len(self.told)
        receipt = self.bus.publish("T", {"i": index, "x": os.urandom(size // 2).hex()})
        self.told[index] = receipt
        return receipt

    def publish_until_full(self, size: int) -> None:
        """Publish until the bus says that it holds enough."""
        with contextlib.suppress(mesh.BufferFull):
            for _ in range(100_000):
                self.publish(size)
            raise AssertionError("the bus never had enough")

    def receipted(self) -> dict[int, str]:
        """What has a receipt by now: index → event id."""
        return {index: receipt.event_id for index, receipt in self.told.items() if receipt.status == "accepted"}

    def assert_all_is_well(self, node: Any) -> None:
        """Every event has its receipt and arrived exactly once, and the books balance."""
        self.assert_all_are_receipted(node)
        ids = self.receipted()
        eventually(lambda: len(self.seen) >= len(ids), 30.0, "the arrival of all events")
        assert self.seen == Counter(ids.values())
        assert ask(node, "audit")["balanced"]

    def assert_all_are_receipted(self, node: Any) -> None:
        """Every event has its receipt and an id of its own, and the books balance."""
        assert self.bus.flush(40.0), trouble(node)
        ids = self.receipted()
        assert sorted(ids) == sorted(self.told)
        assert len(set(ids.values())) == len(ids)
        assert ask(node, "audit")["balanced"]

    def close(self) -> None:
        """Close both."""
        self.bus.close()
        self._ear.close()


@contextlib.contextmanager
def story(data_dir: Path) -> Iterator[Story]:
    """A story that is closed at the end."""
    made = Story(data_dir)
    try:
        yield made
    finally:
        made.close()


def trouble(node: Any) -> str | None:
    """What the node says about its disk; it answers whatever state the disk is in."""
    said: str | None = ask(node, "status")["node"]["trouble"]
    return said


def lines(log: Path, words: str) -> int:
    """How many lines of a node's log file have these words."""
    return sum(words in line for line in log.read_text().splitlines())


def in_log(node: NodeProcess) -> dict[int, str]:
    """The events of a stopped node: index → event id; each is there once."""
    found = [(event["payload"]["i"], event["id"]) for event in log_of(node) if event["topic"] == "T"]
    assert len(found) == len(dict(found))
    return dict(found)


# ── full ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_gives_no_receipts_and_no_lies_and_everything_arrives_once_there_is_room(root: Path) -> None:
    log = root / "node.log"
    with mounted(root / "disk", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as disk, node_on(disk, log) as node:
        with story(node.data_dir) as told:
            for _ in range(100):
                told.publish(4000)
            assert told.bus.flush(15.0)
            filler = fill(disk)
            told.publish_until_full(16_000)
            assert "full" in (eventually(lambda: trouble(node)) or "")
            before = told.receipted()
            told.bus.publish("E", {"n": 1}, ephemeral=True)
            eventually(lambda: told.passed == [{"n": 1}], what="the ephemeral event")
            elapsed(5.0)
            assert before.items() <= told.receipted().items()
            assert len(told.receipted()) < len(told.told)
            assert lines(log, MISERY) == 1
            filler.unlink()
            told.assert_all_is_well(node)
            assert before.items() <= told.receipted().items()
            assert lines(log, MISERY) == 1
        assert node.stop() == 0
        assert in_log(node) == told.receipted()


def test_a_log_over_its_limits_makes_room_for_itself_on_a_full_disk(root: Path) -> None:
    options = {"variables": {"MESH_NODE_LOG_BYTES": str(3 << 20)}}
    with (
        mounted(root / "disk", "-t", "tmpfs", "-o", "size=20m", "tmpfs") as disk,
        node_on(disk, root / "node.log", **options) as node,
        story(node.data_dir) as told,
    ):
        for _ in range(300):
            told.publish(20_000)
        assert told.bus.flush(15.0)
        fill(disk)
        for _ in range(10):
            with contextlib.suppress(mesh.BufferFull):
                for _ in range(200):
                    told.publish(20_000)
            assert told.bus.flush(40.0), trouble(node)
        assert len(told.told) > 1000
        told.assert_all_are_receipted(node)


# ── read-only ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_that_becomes_read_only_is_survived_and_nothing_is_missing_when_it_is_back(root: Path) -> None:
    image, log = root / "ext4.img", root / "node.log"
    with image.open("wb") as file:
        file.truncate(48 << 20)
    run("mkfs.ext4", "-q", image)
    with mounted(root / "disk", "-o", "loop", image) as disk, node_on(disk, log) as node:
        told = Story(node.data_dir)
        for _ in range(100):
            told.publish()
        assert told.bus.flush(15.0)
        run("mount", "-o", "remount,abort", disk)  # what ext4 does to itself when a disk fails under it
        for _ in range(50):
            told.publish()
        assert eventually(lambda: trouble(node))
        told.bus.publish("E", {"n": 1}, ephemeral=True)
        eventually(lambda: told.passed == [{"n": 1}], what="the ephemeral event")
        assert len(told.receipted()) == 100
        assert lines(log, MISERY) == 1
        assert node.stop() == 0
        refused = start(disk / "a")
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1), refused.stderr
    # a copy: if somebody made a mount namespace meanwhile, the failed mount lives on in there and would come back
    mended = shutil.copy(image, root / "mended.img")
    with mounted(root / "disk", "-o", "loop", mended) as disk, node_on(disk, log) as node:
        told.assert_all_is_well(node)
        told.close()
        assert node.stop() == 0
        assert in_log(node) == told.receipted()


# ── locked ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_somebody_locks_for_three_seconds_goes_on_by_itself(root: Path) -> None:
    log = root / "node.log"
    with node_on(root, log) as node, story(node.data_dir) as told:
        told.publish().wait(15.0)
        with contextlib.closing(sqlite3.connect(node.data_dir / "mesh.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(50):
                told.publish()
            assert "Busy" in (eventually(lambda: trouble(node)) or "")
            elapsed(3.0)
            assert len(told.receipted()) == 1
            other.execute("COMMIT")
        told.assert_all_is_well(node)
        eventually(lambda: trouble(node) is None, 20.0, "the end of the trouble")
        eventually(lambda: lines(log, RELIEF) == 1)
        assert lines(log, MISERY) == 1


# ── damaged rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def flip(database: Path, sql: str) -> None:
    """Flip one bit in the middle of the only blob that the query finds; `sql` selects table's rowid and the blob."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        ((table, row, frame),) = db.execute(sql).fetchall()
        middle = len(frame) * 2 // 3
        damaged = frame[:middle] + bytes([frame[middle] ^ 4]) + frame[middle + 1 :]
        db.execute(f"UPDATE {table} SET frame = ? WHERE rowid = ?", (damaged, row))


@pytest.mark.parametrize("stopped", [True, False], ids=["while the node is stopped", "while it runs"])
def test_a_flipped_bit_in_the_log_is_named_counted_and_told_and_the_rest_arrives(root: Path, stopped: bool) -> None:
    log = root / "node.log"
    with node_on(root, log) as node:
        with story(node.data_dir) as told:
            for _ in range(30):
                told.publish().wait(15.0)
        if stopped:
            node.stop()
        flip(node.data_dir / "mesh.db", "SELECT 'log', position, frame FROM log WHERE sequence = 12")
        if stopped:
            node.start()
        seen = []
        with mesh.connect(node.data_dir, name="late") as bus:
            bus.subscribe(
                "T", lambda event: seen.append(event.payload["i"]), name="late", durable=True, since="earliest"
            )
            eventually(lambda: len(seen) == 29, what="the arrival of the others")
            books = eventually(lambda: late_books(node, settled=29))
        assert seen == [index for index in range(30) if index != 11]
        assert (books["lost"], books["published"], books["balanced"]) == (1, 30, True)
        (lost,) = ask(node, "audit")["lost_ranges"]
        assert {key: lost[key] for key in ("consumer", "origin", "topic", "first", "last")} == {
            "consumer": "late",
            "origin": node.origin,
            "topic": "T",
            "first": 12,
            "last": 12,
        }
        assert ask(node, "status")["log"]["damaged"] == 1
        assert lines(log, "log row at position 12 is damaged") == 1


def late_books(node: NodeProcess, settled: int) -> Any:
    """The books of consumer `late` once it has settled so many events."""
    rows = ask(node, "audit")["consumers"]
    return next((row for row in rows if row["consumer"] == "late" and row["settled"] == settled), None)


def test_a_flipped_bit_in_a_letter_makes_it_dead_and_it_is_never_delivered(root: Path) -> None:
    log, tried = root / "node.log", []

    def handler(event: mesh.Event) -> None:
        tried.append((event.payload["i"], event.attempt))
        raise ValueError(event.payload["i"])

    options: dict[str, Any] = {"name": "c", "attempts": 2, "backoff": (3600.0, 3600.0), "durable": True}
    with node_on(root, log) as node:
        with mesh.connect(node.data_dir) as bus:
            bus.wait_attached(15.0)
            bus.subscribe("T", handler, **options)
            for index in range(3):
                bus.publish("T", {"i": index, "x": "y" * 200}).wait(15.0)
            eventually(lambda: len(ask(node, "dlq.list", consumer="c")["rows"]) == 3)
        node.stop()
        flip(node.data_dir / "mesh.db", "SELECT 'letters', id, frame FROM letters WHERE sequence = 2")
        node.start()
        tried.clear()
        with mesh.connect(node.data_dir) as bus:
            bus.subscribe("T", handler, **options)
            ids = [row["id"] for row in ask(node, "dlq.list", consumer="c")["rows"]]
            ask(node, "dlq.retry", ids=ids, actor="test")
            eventually(lambda: {row["state"] for row in ask(node, "dlq.list", consumer="c")["rows"]} == {"dead"})
        rows = ask(node, "dlq.list", consumer="c")["rows"]
        assert [row["error_type"] for row in rows] == ["ValueError", "DamagedLetter", "ValueError"]
        assert sorted(tried) == [(0, 2), (2, 2)]
        assert lines(log, "letter 2 is damaged") == 1
        assert ask(node, "audit")["balanced"]


# ── files that cannot be used ────────────────────────────────────────────────────────────────────────────────────────


def start(data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Try to start a node, which is to end by itself."""
    command = [sys.executable, "-m", "node", "--data-dir", str(data_dir), "--listen", "tcp://127.0.0.1:0", "--http", ""]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20.0, check=False)


def filled(root: Path, end: Callable[[NodeProcess], Any]) -> Path:
    """The database of a node that has lived a little."""
    with node_on(root, root / "node.log") as node:
        with story(node.data_dir) as told:
            for _ in range(400):
                told.publish(4000)
            assert told.bus.flush(15.0)
        end(node)
    return node.data_dir / "mesh.db"


def scribble(path: Path, first: int, last: int) -> None:
    """Random bytes over some pages."""
    with path.open("r+b") as file:
        file.seek(first * 4096)
        file.write(random.Random(first).randbytes((last - first) * 4096))


def foreign(path: Path) -> None:
    """Somebody else's database, in the middle of its work."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("CREATE TABLE theirs AS SELECT 1 AS x")


def newer(path: Path) -> None:
    """Our database as a later version leaves it."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        db.execute("PRAGMA user_version = 9999")


RUINS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_text("notes\n" * 4000), "is not a database"),
    "another program's": (foreign, "belongs to another program"),
    "a newer version's": (newer, "was written by a newer meshbus"),
    "first page overwritten": (partial(scribble, first=0, last=1), "is not a database"),
    "most pages overwritten": (partial(scribble, first=1, last=200), "is damaged"),
    "cut short": (lambda path: os.truncate(path, 5 * 4096 + 7), "is damaged"),
}


@pytest.mark.parametrize("ruin", RUINS)
def test_a_file_that_cannot_be_used_is_refused_in_one_line_and_stays_as_it_is(root: Path, ruin: str) -> None:
    make, says = RUINS[ruin]
    database = filled(root, NodeProcess.stop)
    make(database)
    before = database.read_bytes()
    ended = start(database.parent)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert str(database) in line
    assert says in line
    assert database.read_bytes() == before


def test_a_damaged_file_keeps_its_write_ahead_log_too(root: Path) -> None:
    filled(root, NodeProcess.stop)
    database = filled(root, NodeProcess.kill)
    journal = database.with_name("mesh.db-wal")
    scribble(database, 1, 200)
    before = (database.read_bytes(), journal.read_bytes())
    assert len(before[1]) > 100_000
    ended = start(database.parent)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "is damaged" in ended.stderr
    assert (database.read_bytes(), journal.read_bytes()) == before


@pytest.mark.parametrize("table", ["streams", "log", "publishers", "consumers", "cursors", "crashes", "members"])
def test_nothing_is_written_before_all_is_read_that_a_start_needs(root: Path, table: str) -> None:
    with EmbeddedNode(data_dir=root / "a", name="a") as embedded, story(embedded.data_dir) as told:
        told.publish()
        assert told.bus.flush(15.0)
        database = embedded.data_dir / "mesh.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(bytes([17]) * page_bytes)
    before, journal = database.read_bytes(), database.with_name("mesh.db-wal")
    with pytest.raises(mesh.MeshError, match="is damaged"):
        EmbeddedNode(data_dir=root / "a").start()
    assert database.read_bytes() == before
    assert not journal.exists() or journal.read_bytes() == b""


# ── errors of input and output ───────────────────────────────────────────────────────────────────────────────────────

_disks = count(1)


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
def test_a_disk_that_fails_for_two_seconds_is_recovered_from_without_help(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    disk = Disk(f"failing-{next(_disks)}", 0)
    monkeypatch.setattr(node.agent, "Store", partial(Store, vfs=disk.name))
    with EmbeddedNode(data_dir=root / "a", name="a") as embedded, story(embedded.data_dir) as told:
        for _ in range(200):
            told.publish()
        assert told.bus.flush(15.0)
        disk.broken = partial(error, "as the test wants it")
        for _ in range(200):
            told.publish()
        assert eventually(lambda: trouble(embedded))
        elapsed(2.0)
        assert len(told.receipted()) == 200
        disk.broken = None
        told.assert_all_is_well(embedded)
    disk.unregister()


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def assert_sound(database: Path, copy: Path) -> None:
    """SQLite finds nothing wrong with what the killed node has left: in a copy, the recovery is the node's."""
    copy.mkdir()
    for each in (database, database.with_name("mesh.db-wal")):
        shutil.copy(each, copy)
    with contextlib.closing(sqlite3.connect(copy / database.name)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    shutil.rmtree(copy)


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_node_killed_again_and_again_while_it_writes_leaves_a_sound_database(root: Path, kills: int) -> None:
    options = {"variables": {"MESH_NODE_LOG_BYTES": str(8 << 20)}}
    with node_on(root, root / "node.log", **options) as node, story(node.data_dir) as told:
        for kill in range(kills):
            want = len(told.receipted()) + 300
            while len(told.receipted()) < want:
                with contextlib.suppress(mesh.BufferFull):
                    told.publish(random.Random(kill).choice((50, 2000, 30_000)))
            node.signal(signal.SIGKILL)
            node.kill()
            assert_sound(node.data_dir / "mesh.db", root / "copy")
            node.start()
        told.assert_all_are_receipted(node)
