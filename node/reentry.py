"""Re-entry: what was given out under sequences that others know as other events enters once more, as news.

    a volume is set back ─▶ b gives out 21..30 again ─▶ c: "your 30 is another" ─▶ b takes a new generation
                                                                                     │ since where they differ
    log of b   1 ── 20 │ 21 ──── 30 │                                                ▼
               shared  └ [first, end) ─▶ a few rows a turn ─▶ relay.readmit ─▶ 1..10 of the new generation ─▶ everybody

Whoever has the former 21..30 will never take these under their numbers. So they enter as the node's own publishing,
in their order and under the new generation. What is behind the point where they differ, as far as that is known, enters
as well: who has it already (the consumers here above all) gets it twice, at least once being the promise.

The ranges are in `meta`, and each chunk moves them in its own transaction: a crash repeats and forgets nothing. Rows
that retention has deleted meanwhile are gone like all that is as old; a damaged one is named in the log file.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from node.intake import Intake
from node.state import State
from node.turn import Turn

KEY = "again"
_ROWS = 64
_CHUNK_BYTES = 1 << 20
_RANGES_MAX = 16


class Again(NamedTuple):
    """What an origin of this node has in the log from one position up to another."""

    origin: str
    first: int
    end: int


def give_up(state: State, since: int) -> None:
    """Have the next start take a new generation, and enter again what this one has in the log from a position on.

    Of very many ranges, the oldest are let go.
    """
    again = Again(state.origin, since, state.next_position)
    ranges = [*_read(state.store.read_meta()), *([again] if again.first < again.end else [])]
    state.store.write_meta({"generation": "", KEY: _text(ranges[-_RANGES_MAX:])})


def _text(ranges: list[Again]) -> str:
    return orjson.dumps([list(each) for each in ranges]).decode()


def _read(meta: dict[str, str]) -> list[Again]:
    return [Again(str(origin), int(first), int(end)) for origin, first, end in orjson.loads(meta.get(KEY, "[]"))]


class Reentry:
    """The ranges that are left, worked off in the order in which they came about."""

    def __init__(self, state: State, intake: Intake) -> None:
        self._state = state
        self._intake = intake
        self._ranges = _read(state.store.read_meta())

    @property
    def open(self) -> bool:
        """Whether something is left."""
        return bool(self._ranges)

    def tick(self, turn: Turn) -> None:
        """Enter the next few rows. Raises `StoreError` where they cannot be read; then they are tried again."""
        if not self._ranges:
            return
        before = self._ranges
        self._ranges = self._chunk(turn)
        turn.changes.meta[KEY] = _text(self._ranges)
        turn.once_failed.append(lambda: self._take_back(before))

    def _take_back(self, ranges: list[Again]) -> None:
        self._ranges = ranges

    def _chunk(self, turn: Turn) -> list[Again]:
        """Enter rows; returns what is left then."""
        now, size_bytes = self._ranges[0], 0
        streams, log = self._state.relay.by_id, self._state.log
        rows = list(log.after(now.first, _ROWS))
        for row in rows:
            if row.position >= now.end:
                return self._ranges[1:]
            if streams[row.stream].origin == now.origin and (frame := log.frame(row)) is not None:
                self._intake.enter_again(frame, turn)
                size_bytes += len(row.frame)
            now = now._replace(first=row.position + row.count)
            if size_bytes > _CHUNK_BYTES:
                break
        return [now, *self._ranges[1:]] if rows and now.first < now.end else self._ranges[1:]
