"""A file told from its copies, on the file system that the tests run on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import node.originals
from node.originals import Original, mark_of
from tests.conditions import eventually


def a_tick_after(mark: str, directory: Path) -> None:
    """Wait until the file system's clock has moved on since it made a file."""

    def moved_on() -> bool:
        probe = directory / "probe"
        probe.touch()
        found = mark_of(probe)
        probe.unlink()
        return found != mark

    eventually(moved_on)


def prepared(original: Original, directory: Path) -> str:
    mark = original.prepare()
    a_tick_after(mark, directory)
    return mark


def test_a_file_keeps_its_mark_whatever_becomes_of_it_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    mark = mark_of(path)
    path.write_text("something")
    path.chmod(0o400)
    os.utime(path, (1, 1))
    assert mark_of(path.rename(tmp_path / "renamed")) == mark


def test_a_copy_has_another_mark_also_where_it_takes_the_place_of_the_file(tmp_path: Path) -> None:
    there, kept = tmp_path / "there", tmp_path / "kept"
    there.mkdir()
    (there / "file").touch()
    mark = mark_of(there / "file")
    a_tick_after(mark, tmp_path)
    subprocess.run(["cp", "-a", there, kept], check=True)
    shutil.rmtree(there)
    subprocess.run(["cp", "-a", kept, there], check=True)
    assert mark not in (mark_of(kept / "file"), mark_of(there / "file"))


def test_where_the_file_system_does_not_say_when_it_made_a_file_its_number_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.originals, "_birth_ns", lambda path: 0)
    (tmp_path / "file").touch()
    (tmp_path / "other").touch()
    assert mark_of(tmp_path / "file") == f"inode-{(tmp_path / 'file').stat().st_ino}" != mark_of(tmp_path / "other")


def test_the_file_is_another_after_every_start_and_stays_where_a_start_is_cut_short(tmp_path: Path) -> None:
    original = Original(tmp_path)
    assert original.mark == ""
    first = prepared(original, tmp_path)
    original.replace()
    assert original.mark == first
    second = prepared(original, tmp_path)
    assert (original.mark, prepared(original, tmp_path) not in (first, second)) == (first, True)
    original.replace()
    assert original.mark not in (first, second)


def test_a_file_that_is_written_over_is_known_by_the_next_start_alone(tmp_path: Path) -> None:
    original = Original(tmp_path)
    first = prepared(original, tmp_path)
    original.replace()
    shutil.copytree(tmp_path, tmp_path / "backup")
    second = prepared(original, tmp_path)
    original.replace()
    shutil.copy(tmp_path / "backup" / "original", tmp_path / "original")
    assert (original.mark, second != first) == (second, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_disk_that_takes_no_file_keeps_the_one_that_stands_there(tmp_path: Path) -> None:
    original = Original(tmp_path)
    mark = original.prepare()
    original.replace()
    tmp_path.chmod(0o500)
    assert original.prepare() == ""
    original.replace()
    assert original.mark == mark
