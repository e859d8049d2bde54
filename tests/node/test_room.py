"""Room: what is claimed of the file system before it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.room import CHUNK_BYTES, LOG_ROOM_BYTES, Room


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "a.db"
    found.write_bytes(b"x" * 1000)
    Path(f"{found}-wal").touch()
    return found


@pytest.fixture
def room(file: Path) -> Iterator[Room]:
    made = Room(str(file))
    made.open()
    yield made
    made.close()


def test_a_claim_is_whole_chunks_and_leaves_what_is_written_alone(room: Room, file: Path) -> None:
    assert room.claim(1001) == CHUNK_BYTES
    assert file.stat().st_size == CHUNK_BYTES
    assert file.read_bytes()[:1001] == b"x" * 1000 + b"\0"
    assert file.stat().st_blocks * 512 >= CHUNK_BYTES
    assert room.claim(CHUNK_BYTES + 1) == 2 * CHUNK_BYTES


def test_a_file_that_is_longer_stays_so(room: Room, file: Path) -> None:
    room.claim(3 * CHUNK_BYTES)
    assert room.claim(10) == CHUNK_BYTES
    assert file.stat().st_size == 3 * CHUNK_BYTES


def test_rows_use_up_what_was_granted_and_a_cut_file_has_nothing_left(room: Room) -> None:
    assert not room.take(1)
    room.granted(100)
    assert room.take(60)
    assert room.take(40)
    assert not room.take(1)
    room.granted(100)
    room.forget()
    assert not room.take(1)


def test_what_the_file_system_does_not_give_leaves_the_file_as_it_was(
    room: Room, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(descriptor: int, begin: int, length: int) -> None:
        os.truncate(file, begin + length // 2)
        raise OSError

    monkeypatch.setattr("node.room.os.posix_fallocate", half)
    assert room.claim(1001) == CHUNK_BYTES
    assert file.stat().st_size == 1000


def test_the_log_has_its_room_at_once(room: Room, file: Path) -> None:
    room.claim_log()
    assert Path(f"{file}-wal").stat().st_size == LOG_ROOM_BYTES


def test_for_a_database_in_memory_nothing_is_claimed(tmp_path: Path) -> None:
    room = Room(str(tmp_path / "none"))
    room.open()
    room.claim(1)
    room.claim_log()
    room.sync()
    room.close()
    assert list(tmp_path.iterdir()) == []
