from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.errors import ConfigurationError, DataDirectoryInUse
from node.database import Durability
from node.identity import DataDirectory, Identity, Progress, begin_life, identify, sign_off
from node.store import Store


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path / "mesh.db")
    try:
        yield store
    finally:
        store.close()


# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_configured_name_is_taken_and_else_the_machines(tmp_path: Path) -> None:
    for wanted, name in [("trainer", "trainer"), ("", "host")]:
        (tmp_path / name).mkdir()
        with opened(tmp_path / name) as store:
            found = identify(store, wanted, "host")
            assert found.name == name
            assert found.origin == f"{name}.{found.generation}"
            assert re.fullmatch("[0-9a-f]{8}", found.generation)


def test_a_name_is_chosen_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first = identify(store, "a", "host")
        begin_life(store, first, "full")
        assert identify(store, "", "another-host") == first
        assert identify(store, "a", "another-host") == first


def test_another_name_than_the_directorys_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first = identify(store, "a", "host")
        begin_life(store, first, "full")
        with pytest.raises(ConfigurationError, match="belongs to node 'a', not 'b'"):
            identify(store, "b", "host")
        assert identify(store, "", "host") == first


def test_who_a_node_is_is_decided_without_writing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        identify(store, "a", "host")
        assert store.read_meta() == {}
        me = identify(store, "a", "host")
        begin_life(store, me, "os")
        assert store.read_meta() == {
            "name": "a",
            "generation": me.generation,
            "durability": "os",
            "stopped": "no",
            "generations": me.generation,
            "incarnation": "1",
            "originals": "",
        }


# ── which generation ─────────────────────────────────────────────────────────────────────────────────────────────────


def start(path: Path, durability: Durability, *, clean: bool) -> Identity:
    """One life of a node, ending in good order or not."""
    with opened(path) as store:
        found = identify(store, "a", "host")
        begin_life(store, found, durability)
        if clean:
            sign_off(store)
        return found


@pytest.mark.parametrize(
    ("durability", "clean", "same"),
    [("full", True, True), ("full", False, True), ("os", True, True), ("os", False, False)],
)
def test_only_what_may_have_lost_the_end_of_its_log_takes_a_new_generation(
    tmp_path: Path, durability: Durability, clean: bool, same: bool
) -> None:
    first = start(tmp_path, durability, clean=clean)
    second = start(tmp_path, durability, clean=True)
    assert (first.generation == second.generation) is same
    assert start(tmp_path, durability, clean=True).origin == second.origin


def test_a_lost_disk_is_a_new_generation(tmp_path: Path) -> None:
    first = start(tmp_path, "full", clean=True)
    (tmp_path / "mesh.db").unlink()
    assert start(tmp_path, "full", clean=True).generation != first.generation


def test_a_crash_with_durability_os_counts_also_when_the_next_start_is_full(tmp_path: Path) -> None:
    first = start(tmp_path, "os", clean=False)
    assert start(tmp_path, "full", clean=True).generation != first.generation


# ── the directory ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "new" / "dir")
    assert (directory.path.stat().st_mode & 0o777, directory.database.name) == (0o700, "mesh.db")
    directory.release()


def test_a_directory_is_held_by_one_node_until_it_lets_go(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    with pytest.raises(DataDirectoryInUse, match=str(tmp_path)):
        DataDirectory(tmp_path)
    first.release()
    DataDirectory(tmp_path).release()


def test_a_directory_under_another_spelling_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    first = DataDirectory(tmp_path / "real")
    with pytest.raises(DataDirectoryInUse):
        DataDirectory(tmp_path / "link")
    first.release()


def test_a_process_that_died_holds_nothing(tmp_path: Path) -> None:
    hold = "D(pathlib.Path(sys.argv[1])); os._exit(9)"
    code = f"import os, pathlib, sys; from node.identity import DataDirectory as D; {hold}"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60).returncode == 9
    DataDirectory(tmp_path).release()


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_place_that_cannot_be_a_directory_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" if kind == "file" else tmp_path / "file" / "dir"
    with pytest.raises(ConfigurationError, match="choose another --data-dir"):
        DataDirectory(place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        DataDirectory(tmp_path)


# ── a copy of the past ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("noted", "same"),
    [
        (None, True),
        ((0, 0, 0), True),
        ((0, 1, 0), True),  # the first start
        ((0, 2, 0), False),
        ((0, 0, 1), False),
        ((1, 0, 0), False),
    ],
)
def test_a_database_that_is_behind_its_note_takes_a_new_generation(
    tmp_path: Path, noted: tuple[int, int, int] | None, same: bool
) -> None:
    first = start(tmp_path, "full", clean=True)
    note = None
    if noted is not None:
        other, incarnation, entered = noted
        note = Progress("0badc0de" if other else first.generation, incarnation, entered)
    with opened(tmp_path) as store:
        assert (identify(store, "a", "host", note) == first) is same


def test_a_note_of_a_former_generation_of_the_database_is_behind_it_and_no_reason_for_another(tmp_path: Path) -> None:
    first = start(tmp_path, "full", clean=True)
    with opened(tmp_path) as store:
        store.write_meta({"generation": ""})
        second = identify(store, "a", "host")
        begin_life(store, second, "full")
        assert second != first
        assert identify(store, "a", "host", Progress(first.generation, 9, 99)) == second


def test_a_note_is_read_back_and_one_that_is_torn_or_missing_is_none(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    assert directory.noted() is None
    directory.note(Progress("00c0ffee", 3, 17))
    assert directory.noted() == Progress("00c0ffee", 3, 17)
    (tmp_path / "progress").write_text("00c0ffee 3")
    assert directory.noted() is None
    directory.release()


# ── a copy of the directory ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "stands", "same"),
    [
        ((), "", True),  # an older release wrote it
        ((), "A", False),  # … before a newer one started here
        (("A", "B"), "B", True),
        (("A", "B"), "A", True),  # the start was cut short before B was in place
        (("A", "B"), "C", False),
        (("A", "B"), "", False),
        (("", "B"), "", False),
        (("", ""), "", True),  # the disk took no file
    ],
)
def test_a_database_beside_another_file_than_it_names_takes_a_new_generation(
    tmp_path: Path, written: tuple[str, ...], stands: str, same: bool
) -> None:
    with opened(tmp_path) as store:
        first = identify(store, "a", "host")
        begin_life(store, first, "full", written)
        found = identify(store, "a", "host", original=stands)
        assert (found == first) is same
        assert found.renewed == ("" if same else found.renewed)
        assert same or "restored, copied or moved" in found.renewed


def test_the_database_of_an_older_release_has_the_file_noted_and_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.write_meta({"name": "a", "generation": "00c0ffee", "incarnation": "7"})
        me = identify(store, "a", "host")
        assert (me, begin_life(store, me, "full", ("", "A"))) == (("a", "00c0ffee", ""), 8)
        assert identify(store, "a", "host", original="A") == me


def test_every_start_has_a_higher_incarnation(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        me = identify(store, "a", "host")
        assert [begin_life(store, me, "full") for _ in range(3)] == [1, 2, 3]
