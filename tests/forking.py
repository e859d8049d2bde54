"""A child process of a test: it does one thing and ends, whatever happens in it.

It has copies of all that its parent has open, the line to the process that counts the tests among them: a child that
stayed would leave that one waiting for ever. So it can neither go on with the tests nor outlive `CHILD_S`.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

CHILD_S = 30
"""Whole seconds after which the kernel ends a child, wherever it stands."""


def begin(act: Callable[[], object]) -> int:
    """The pid of a child that does `act`: it exits with 0, or with 1 and a traceback where that raises."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_S)
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def end(child: int) -> int:
    """Its exit code; negative: the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
