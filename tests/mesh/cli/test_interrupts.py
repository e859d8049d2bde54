"""Interrupts: a signal is raised once, where it does no harm, and its handling has the last word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.cli.interrupts import SIGNALS, Interrupted, interrupts

PROGRAM = """
import os, signal, sys
from mesh.cli.interrupts import interrupts

try:
    with interrupts() as free, free():
        exec("os.kill(os.getpid(), signal.SIGINT)")
except KeyboardInterrupt:
    sys.exit(5)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_next_place_that_is_free_and_is_raised_once(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    passed: list[str] = []
    with interrupts() as free:
        os.kill(os.getpid(), number)
        passed.append("held")
        with pytest.raises(Interrupted), free():
            passed.append("free")
        os.kill(os.getpid(), number)
        with free():
            passed.append("once")
    assert passed == ["held", "once"]
    assert signal.getsignal(number) is former


def test_a_process_that_handles_it_ends_with_its_own_code_also_where_it_came_in_the_midst_of_an_import(
    tmp_path: Path,
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (5, b"")
