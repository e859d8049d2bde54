"""The store on a real file: what it refuses, how it is set up, and that a commit is all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from node.changes import Books, Changes, LetterRow, LogRow
from node.folding import Folding
from node.letter_reader import LetterReader
from node.log_reader import LogReader
from node.store import Store, StoreError
from node.table_reader import TableReader
from tests.node.power_cut import Disk

BOOKS = Books("c", "A", True, "{}", 7, 4, 2, 1, 1, 0, 99)
LETTER = LetterRow("c", "waiting", "a.1", "A", 4, b"frame", "{}", 1, 0, "error", "ValueError", "no", "tb", 10, 10, 20)


def log_row(position: int, sequence: int = 1, count: int = 1) -> LogRow:
    return LogRow(position, 1, sequence, count, 1000 + position, b"p" * 8, sequence, b"frame")


def every_kind() -> Changes:
    """Changes with a row for every table."""
    changes = Changes(streams=[(1, "a.1", "A", 0, 0)], log=[log_row(1, 1, 3)], heads={1: 3})
    changes.publishers[b"p" * 8] = (3, 1, 50)
    changes.books["c"] = BOOKS
    changes.cursors["c", 1] = 3
    changes.losses.append(("c", "a.1", "A", 1, 2, "gone", 60))
    changes.letters.append(LETTER)
    changes.actions.append((70, "me", "retry", 1, "detail"))
    return changes


def counts(path: Path) -> dict[str, int]:
    """Rows per table, by another connection (of the same library: two in one process break each other's locks)."""
    db = apsw.Connection(str(path))
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {name: next(db.execute(f"SELECT count(*) FROM {name}"))[0] for name in tables}
    db.close()
    return {name: count for name, count in found.items() if count and name != "sqlite_sequence"}


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_store_is_found_again_as_it_was_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    store.write_meta({"name": "a"})
    store.close()
    again = Store(tmp_path / "mesh.db")
    assert TableReader(again).streams() == [(1, "a.1", "A", 0, 3)]
    assert TableReader(again).publishers() == [(b"p" * 8, 3, 1)]
    assert TableReader(again).consumers() == [BOOKS]
    assert list(TableReader(again).cursors()) == [("c", 1, 3)]
    assert again.read_meta()["name"] == "a"
    assert list(LogReader(again).batches(1, 1, 3)) == [log_row(1, 1, 3)]
    letter = LetterReader(again).one(1)
    assert letter is not None
    assert letter[1:] == LETTER
    again.close()


def test_closing_folds_the_write_ahead_log_into_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["mesh.db"]


def logged_without_journal(path: Path) -> int:
    """Rows of the log that the file holds by itself, without its write-ahead log."""
    alone = path.with_name("alone.db")
    alone.write_bytes(path.read_bytes())
    db = apsw.Connection(str(alone))
    found = next(db.execute("SELECT count(*) FROM log"))[0] if db.pragma("page_count") else 0
    db.close()
    return int(found)


def test_idle_moments_fold_the_write_ahead_log_once_it_is_worth_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    store.fold()
    for position in range(1, 50):
        store.commit(Changes(log=[log_row(position, position)]))
    store.rest()
    assert logged_without_journal(tmp_path / "mesh.db") == 0
    store.commit(Changes(log=[log_row(50, 50)]))
    store.rest()
    assert logged_without_journal(tmp_path / "mesh.db") == 50
    store.close()


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> int:
    """A write-ahead log that has to be folded after a few commits; how long it may get, in bytes."""
    monkeypatch.setattr("node.store._WAL_BYTES", 400 << 10)
    monkeypatch.setattr("node.room.LOG_ROOM_BYTES", 0)
    return 400 << 10


def longest_log(store: Store, commits: int, after_each: Callable[[], object]) -> int:
    """Commit that often, and say how long the write-ahead log has become."""
    longest = 0
    for position in range(10, commits + 10):
        store.commit(Changes(log=[log_row(position, position)]))
        after_each()
        longest = max(longest, Path(store.path + "-wal").stat().st_size)
    return longest


def test_a_commit_folds_a_write_ahead_log_that_has_become_too_long(tmp_path: Path, small_log: int) -> None:
    store = Store(tmp_path / "mesh.db")
    longest = longest_log(store, 100, lambda: None)
    assert small_log <= longest < small_log + (100 << 10)
    assert logged_without_journal(tmp_path / "mesh.db") > 50
    store.close()


def test_beside_the_turns_it_is_folded_before_any_commit_has_to(
    tmp_path: Path, small_log: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtOnce(Folding):
        def ask(self) -> None:
            asked.append(Path(store.path + "-wal").stat().st_size)
            store._fold_beside()

    asked: list[int] = []
    monkeypatch.setattr("node.store.Folding", AtOnce)
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    store.fold_beside()
    longest = longest_log(store, 100, store.tidy)
    assert len(asked) > 3
    assert small_log * 0.4 < asked[0] <= longest < small_log * 0.9
    assert logged_without_journal(tmp_path / "mesh.db") > 50
    store.close()
    assert [each.name for each in tmp_path.iterdir() if each.name != "alone.db"] == ["mesh.db"]


def test_a_thread_that_folds_does_not_let_the_log_grow_longer_than_commits_do(tmp_path: Path, small_log: int) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    store.fold_beside()
    assert longest_log(store, 300, store.tidy) < small_log + (100 << 10)
    store.close()
    assert logged_without_journal(tmp_path / "mesh.db") == 301


def test_what_a_fold_beside_a_commit_has_cut_off_the_file_is_claimed_again(tmp_path: Path, small_log: int) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    store.fold_beside()
    claimed = store._grow
    ends: list[int] = []
    store._grow = lambda end: (ends.append(end), claimed(end))[1]  # type: ignore[method-assign]
    store.commit(Changes(log=[log_row(2, 2)]))
    store._fold_beside()
    ends.clear()
    store.commit(Changes(log=[log_row(3, 3)]))
    assert len(ends) == 1
    store.close()


def test_a_place_where_no_file_can_be_is_an_error_with_sqlites_word(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="CantOpen") as refusal:
        Store(tmp_path / "no" / "such" / "directory.db")
    assert refusal.value.code == "CantOpen"


# ── committing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_to_write_is_false_and_any_row_is_true() -> None:
    assert not Changes()
    assert Changes(heads={1: 2})
    assert Changes(letters_ended=[(1,)])


def test_a_commit_is_there_for_another_connection_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(every_kind())
    assert counts(tmp_path / "mesh.db") == dict.fromkeys(
        ("streams", "log", "publishers", "consumers", "cursors", "losses", "letters", "actions"), 1
    )
    store.close()


@pytest.mark.parametrize(
    "poison",
    [
        {"log": [log_row(1)]},
        {"actions": [(1, "me", None, 1, "")]},
        {"actions": [(2**70, "me", "retry", 1, "")]},
        {"actions": [(1, "me", {}, 1, "")]},
        {"actions": [(1, "me")]},
    ],
    ids=["position taken", "a NULL", "an integer too large", "no SQL value", "a column short"],
)
def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path, poison: dict[str, object]) -> None:
    path = tmp_path / "mesh.db"
    store = Store(path)
    store.commit(Changes(streams=[(1, "a.1", "A", 0, 1)], log=[log_row(1)]))
    changes = Changes(streams=[(2, "a.1", "B", 0, 0)], **poison)  # type: ignore[arg-type]
    changes.cursors["c", 1] = 1
    with pytest.raises(StoreError):
        store.commit(changes)
    assert counts(path) == {"streams": 1, "log": 1}
    store.commit(Changes(log=[log_row(2, 2)]))
    store.write_meta({"still": "works"})
    assert counts(path) == {"streams": 1, "log": 2, "meta": 1}
    store.close()


def test_a_full_disk_is_an_error_with_sqlites_word_and_room_mends_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    pages = next(store.rows("PRAGMA page_count"))[0]
    list(store.rows(f"PRAGMA max_page_count = {pages + 2}"))
    large = log_row(1)._replace(frame=bytes(100_000))
    with pytest.raises(StoreError, match="Full") as refusal:
        store.commit(Changes(log=[large]))
    assert refusal.value.code == "Full"
    list(store.rows("PRAGMA max_page_count = 100000"))
    store.commit(Changes(log=[large]))
    assert counts(tmp_path / "mesh.db") == {"log": 1}
    store.close()


def test_what_a_fold_gave_back_is_claimed_again_before_anything_is_written(tmp_path: Path) -> None:
    disk = Disk("shortened", 0)
    store = Store(tmp_path / "mesh.db", vfs=disk.name)
    store.commit(Changes(log=[log_row(1)._replace(frame=bytes(600_000))]))
    store.commit(Changes(log=[log_row(position) for position in range(2, 102)]))  # claims more than it needs
    store.fold()
    disk.longest = (tmp_path / "mesh.db").stat().st_size
    large = log_row(102)._replace(frame=bytes(500_000))
    with pytest.raises(StoreError, match="Full"):
        store.commit(Changes(log=[large]))
    store.fold()
    store.commit(Changes(log=[large._replace(frame=bytes(50_000))]))
    store.fold()
    assert counts(tmp_path / "mesh.db") == {"log": 102}
    store.close()
    disk.unregister()


def test_another_writer_is_waited_for_and_then_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.database.BUSY_MS", 10)
    store = Store(tmp_path / "mesh.db")
    other = apsw.Connection(str(tmp_path / "mesh.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Busy"):
        store.commit(every_kind())
    other.execute("ROLLBACK")
    store.commit(every_kind())
    other.close()
    store.close()


def test_a_letters_life_in_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    letters = LetterReader(store)
    store.commit(Changes(letters=[LETTER]))
    store.commit(Changes(letters_again=[("dead", 2, "timeout", "TimeoutError", "late", "tb2", 30, None, 1)]))
    dead = letters.one(1)
    assert dead is not None
    assert (dead.state, dead.attempts, dead.kind, dead.error, dead.first_failed_us) == (
        "dead",
        2,
        "timeout",
        "late",
        10,
    )
    assert (dead.last_failed_us, dead.next_attempt_us, dead.retries) == (30, None, 0)
    store.commit(Changes(letters_retried=[(40, 1)]))
    waiting = letters.one(1)
    assert waiting is not None
    assert (waiting.state, waiting.next_attempt_us, waiting.retries, waiting.attempts) == ("waiting", 40, 1, 2)
    store.commit(Changes(letters_ended=[(1,)]))
    assert letters.one(1) is None
    store.close()


def test_the_runbooks_view_shows_a_letter(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    store.commit(Changes(letters=[LETTER._replace(attempts=3, first_failed_us=2_500_000)]))
    rows = list(store.rows("SELECT id, event_type, event_data, error, created_at, retry_count FROM dead_letter_queue"))
    assert rows == [(1, "A", "{}", "ValueError: no", 2.5, 2)]
    store.close()


def test_a_question_with_a_value_sql_does_not_know_is_a_store_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    with pytest.raises(StoreError, match="Overflow"):
        LetterReader(store).one(2**70)
    store.close()


def test_a_new_file_has_large_pages_and_one_that_is_there_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as formerly:
        formerly.setattr("node.database.PAGE_BYTES", 4096)
        Store(tmp_path / "old.db").close()
    for name, page_bytes in [("old.db", 4096), ("new.db", 8192)]:
        store = Store(tmp_path / name)
        store.commit(Changes(log=[log_row(1)._replace(frame=bytes(100_000))]))
        store.close()
        store = Store(tmp_path / name)
        store.commit(Changes(log=[log_row(2)._replace(frame=bytes(100_000))]))
        assert next(store.rows("PRAGMA page_size")) == (page_bytes,)
        assert [len(row.frame) for row in LogReader(store).tail(10, 10)] == [100_000, 100_000]
        store.close()


def test_free_pages_are_given_back_as_many_as_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "mesh.db")
    page_bytes = next(store.rows("PRAGMA page_size"))[0]
    store.commit(Changes(log=[log_row(position)._replace(frame=bytes(page_bytes)) for position in range(1, 101)]))
    store.commit(Changes(trim_before=101))
    free, used, size = store.free_pages(), store.used_bytes(), store.size_bytes()
    assert free >= 100
    store.commit(Changes(vacuum_pages=60))
    assert store.free_pages() == free - 60
    assert store.used_bytes() == used
    assert size - store.size_bytes() == 60 * page_bytes
    store.close()
