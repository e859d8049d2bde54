"""When a node gives memory back, and that it does."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from node.clock import Now
from node.heap import GIVE_BACK_BYTES, QUIET_S, WORTHWHILE_BYTES, Leftovers

QUIET_US = int(QUIET_S * 1e6)


def at(mono_us: int) -> Now:
    return Now(1_700_000_000_000_000 + mono_us, mono_us)


def test_what_a_start_has_left_is_given_back_when_it_is_quiet_and_once() -> None:
    leftovers = Leftovers(at(0))
    assert not leftovers.due(0, at(QUIET_US - 1))
    assert leftovers.due(0, at(QUIET_US))
    assert not leftovers.due(0, at(3 * QUIET_US))


def test_under_load_it_is_time_whenever_so_much_was_taken_in() -> None:
    leftovers, step = Leftovers(at(0)), GIVE_BACK_BYTES // 4
    due = [leftovers.due(step, at(turn)) for turn in range(1, 13)]
    assert due == [False, False, False, True] * 3  # what the start left makes the first four enough


def test_a_trickle_never_makes_it_time_before_so_much_has_come() -> None:
    leftovers = Leftovers(at(0))
    assert not any(leftovers.due(WORTHWHILE_BYTES // 10, at(turn * QUIET_US // 2)) for turn in range(100))


def test_after_a_burst_the_first_quiet_turn_gives_back_unless_the_burst_was_small() -> None:
    leftovers = Leftovers(at(0))
    assert leftovers.due(0, at(QUIET_US))
    assert not leftovers.due(WORTHWHILE_BYTES - 1, at(2 * QUIET_US))
    assert not leftovers.due(0, at(9 * QUIET_US))
    assert not leftovers.due(1, at(10 * QUIET_US))
    assert leftovers.due(0, at(11 * QUIET_US))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_blocks_of_a_frames_size_are_kept_until_they_are_given_back() -> None:
    otherwise = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc's own, before it has raised it
    command = [sys.executable, "-c", _KEEP_AND_GIVE_BACK]
    said = subprocess.run(command, env=otherwise, capture_output=True, text=True, check=True)
    used, kept, left = map(int, said.stdout.split())
    assert used - kept < 1 << 20
    assert kept - left > 15 << 20


_KEEP_AND_GIVE_BACK = """
from pathlib import Path
from node.heap import give_back, keep_blocks

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

keep_blocks()
blocks = [bytes([index]) * size for index in range(64) for size in (256 << 10, 64 << 10)]
print(resident_bytes())
del blocks[::2]
print(resident_bytes())
give_back()
print(resident_bytes())
"""
