"""Postponed: what neighbours answered while the disk took nothing, until what it says can be written.

    ◀── ack v7, heads [T 40] ──  disk full: it waits here      (it owes the answer still, and is told again)
    ◀── ack v7, heads [T 55] ──  later, and says less: what was published since the first is owed
                                 disk takes again ──▶ the first is placed: T begins behind 40

An answer that waits ends with its link, and with the process: nothing is promised that is not on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.turn import LinkKey, rekey

Fields = Mapping[str, Any]


class Postponed:
    """The first answer of each link to each announcement, in the order in which they came."""

    def __init__(self) -> None:
        self._answers: dict[LinkKey, dict[int, Fields]] = {}

    def __bool__(self) -> bool:
        return bool(self._answers)

    def keep(self, key: LinkKey, version: int, fields: Fields) -> None:
        """An answer cannot be placed. An earlier one to the same announcement says more, and stays."""
        self._answers.setdefault(key, {}).setdefault(version, fields)

    def put_back(self, key: LinkKey, version: int, fields: Fields) -> None:
        """An answer was placed in a turn that failed. The last of them is put back first, so each goes to the front."""
        later = self._answers.pop(key, {})
        later.pop(version, None)
        self._answers[key] = {version: fields, **later}

    def take(self) -> list[tuple[LinkKey, Fields]]:
        """Every answer that waits; it waits no longer."""
        answers, self._answers = self._answers, {}
        return [(key, fields) for key, versions in answers.items() for fields in versions.values()]

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._answers, old, new)

    def forget(self, key: LinkKey) -> None:
        """The link is down."""
        self._answers.pop(key, None)
