"""Folding: a thread that folds the write-ahead log into the file while the turns go on.

    turn ─ commit ─ send ─ turn ─ commit ─ send ─ turn ─ …            the node's thread
              4 MB ─▶ ask        ┌── copy the pages, sync the file ──┐   this thread

A fold takes as long as the disk likes, 1 ms on an SSD that has nothing else to do and 6 beside other work, and whatever
came meanwhile waited for it: at 1,000 single events a second that was every hundredth, so the 99th percentile was a
fold. SQLite lets one connection fold what others go on writing behind. It starts the log anew when a fold has found it
at its end, which at a steady rate some pass between two commits soon does; a node that is never at rest has its own
thread fold at last (`node.store`), and that finds little left to do.

Nobody's word depends on this thread: what it folds is on disk in the log, and stays there until it is in the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Folding:
    """Calls `fold` in a thread when asked, until it is ended. `fold` holds what it needs to keep others out itself."""

    def __init__(self, fold: Callable[[], object]) -> None:
        self._fold = fold
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mesh folding", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Fold soon; asked twice before it has begun, it folds once."""
        if self._asked.empty():
            self._asked.put(True)

    def end(self) -> None:
        """Fold no more; returns when the thread is gone."""
        self._asked.put(False)
        self._thread.join()

    def _work(self) -> None:
        while self._asked.get():
            self._fold()
