"""The database file: how it is set up, and which one is refused."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

import node
from mesh.errors import ConfigurationError
from node.database import APPLICATION_ID, SCHEMA_VERSION
from node.store import Store


def test_the_store_and_what_opens_it_are_the_only_modules_that_import_apsw() -> None:
    (room,) = node.__path__
    found = [
        path.name for path in Path(room).glob("*.py") if re.search(r"^\s*(import|from) apsw", path.read_text(), re.M)
    ]
    assert sorted(found) == ["database.py", "store.py"]


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("os", 1)])
def test_the_pragmas_that_durability_rests_on_are_in_force(tmp_path: Path, durability: str, synchronous: int) -> None:
    store = Store(tmp_path / "mesh.db", durability)  # type: ignore[arg-type]
    read = {name: next(store.rows(f"PRAGMA {name}"))[0] for name in ("synchronous", "journal_mode", "auto_vacuum")}
    assert read == {"synchronous": synchronous, "journal_mode": "wal", "auto_vacuum": 2}
    assert next(store.rows("PRAGMA application_id"))[0] == APPLICATION_ID == int.from_bytes(b"MESH", "big")
    assert next(store.rows("PRAGMA user_version"))[0] == SCHEMA_VERSION
    store.close()


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()


def make_newer(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()


def make_text(path: Path) -> None:
    path.write_bytes(b"these are my notes, and no database at all\n" * 100)


@pytest.mark.parametrize(
    ("make", "says"),
    [(make_foreign, "another program"), (make_newer, "newer meshbus"), (make_text, "not a database")],
)
def test_a_file_that_is_not_ours_is_refused_and_stays_as_it_was(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "mesh.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=says) as refusal:
        Store(path)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["mesh.db"]
