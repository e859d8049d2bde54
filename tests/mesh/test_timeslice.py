"""Time slices: asked for by a thread, for itself and for what it begins."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import Struct
from typing import TypeVar

import pytest

from mesh.timeslice import SLICE_NS, shorten

Value = TypeVar("Value")

SCHED_SETATTR, SCHED_GETATTR = 314, 315
SLICE_AT = 24
"""Where the structure that sched_getattr fills holds the runtime."""


def alone(call: Callable[[], Value]) -> Value:
    """What a function returns in a thread that nobody else is in."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def with_usual_slices(call: Callable[[], Value]) -> Value:
    """The same in a thread that begins with the slices everybody has, whatever was asked for where it was begun."""

    def asked() -> Value:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = Struct("=IIQiIQQQ").pack(56, os.SCHED_OTHER, 0, nice, 0, 0, 0, 0)
        assert ctypes.CDLL(None).syscall(SCHED_SETATTR, 0, attributes, 0) == 0
        return call()

    return alone(asked)


def slice_ns() -> int:
    """The slice of the calling thread; 0 from a kernel that has none."""
    attributes = ctypes.create_string_buffer(56)
    assert ctypes.CDLL(None).syscall(SCHED_GETATTR, 0, attributes, len(attributes), 0) == 0
    return int.from_bytes(attributes.raw[SLICE_AT : SLICE_AT + 8], sys.byteorder)


on_linux = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="the test reads slices on Linux on x86-64"
)
not_raised = pytest.mark.skipif(
    os.getpriority(os.PRIO_PROCESS, 0) < 0, reason="these tests run raised above others, and are left as they are"
)


@on_linux
@not_raised
def test_a_thread_and_what_it_begins_get_short_slices_and_nobody_else_does() -> None:
    if not slice_ns():
        pytest.skip("this kernel has one slice for all")

    def asked() -> tuple[int, bool, int, int, int, int]:
        before = slice_ns()
        taken, short, begun = alone(lambda: (shorten(), slice_ns(), alone(slice_ns)))
        return before, taken, short, begun, slice_ns(), alone(slice_ns)

    usual = with_usual_slices(slice_ns)
    assert usual != SLICE_NS
    assert with_usual_slices(asked) == (usual, True, SLICE_NS, SLICE_NS, usual, usual)


@on_linux
@not_raised
def test_a_thread_may_keep_them_to_itself_so_that_what_a_handler_starts_has_the_usual_ones() -> None:
    if not slice_ns():
        pytest.skip("this kernel has one slice for all")
    usual = with_usual_slices(slice_ns)
    program = "from tests.mesh.test_timeslice import slice_ns; print(slice_ns())"

    def asked() -> tuple[int, int, int]:
        shorten()
        shorten(passed_on=False)
        begun = subprocess.check_output([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
        return slice_ns(), alone(slice_ns), int(begun)

    assert with_usual_slices(asked) == (SLICE_NS, usual, usual)


@on_linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a thread above others")
def test_a_thread_that_was_raised_above_others_is_left_as_it_is() -> None:
    def asked() -> tuple[bool, int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -3)
        return shorten(), os.getpriority(os.PRIO_PROCESS, 0)

    assert alone(asked) == (False, -3)


@on_linux
def test_how_nice_a_thread_is_stays() -> None:
    def asked() -> tuple[bool, int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 7)
        return shorten(), os.getpriority(os.PRIO_PROCESS, 0)

    assert alone(asked) == (True, 7)


@on_linux
def test_a_thread_that_was_given_another_policy_keeps_it() -> None:
    def asked() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return shorten(), os.sched_getscheduler(0)

    assert alone(asked) == (False, os.SCHED_BATCH)


def test_where_there_is_no_such_call_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.timeslice.platform.machine", lambda: "vax")
    assert shorten() is False
