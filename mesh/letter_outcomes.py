"""What became of letters that were retried: decided from what the letters look like now.

    retried after 3 attempts ──▶ no such letter any more    resolved: its handler succeeded
                             ├─▶ 4 attempts or more         failed again, with the new error
                             └─▶ still 3                    waiting: no outcome yet

No I/O here; `mesh.letter_acts` asks the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Word = Literal["resolved", "failed", "waiting", "refused", "accepted", "discarded"]


@dataclass(frozen=True)
class Outcome:
    """One letter's outcome. `text` is the new error of `failed` and the reason of `refused`."""

    letter: int
    word: Word
    text: str = ""


def judge(attempts: Mapping[int, int], rows: Mapping[int, Mapping[str, Any]]) -> list[Outcome]:
    """The outcomes that are known.

    attempts   letter → how often it had been tried when the retry was asked for
    rows       letter → its row, for those that exist now
    """
    known = []
    for letter, before in attempts.items():
        row = rows.get(letter)
        if row is None:
            known.append(Outcome(letter, "resolved"))
        elif row["attempts"] > before:
            known.append(Outcome(letter, "failed", f"{row['error_type']}: {row['error']}"))
    return known


@dataclass
class Tally:
    """All outcomes so far. `interrupted`: the user stopped before everything was done."""

    outcomes: list[Outcome] = field(default_factory=list)
    interrupted: bool = False

    @property
    def counts(self) -> Counter[str]:
        """How many of each word."""
        return Counter(each.word for each in self.outcomes)

    @property
    def exit_code(self) -> int:
        """1 when something was refused, failed again, or not done because the user stopped; else 0."""
        counts = self.counts
        return 1 if counts["refused"] or counts["failed"] or self.interrupted else 0

    def as_json(self, words: tuple[Word, ...], dry_run: bool) -> dict[str, Any]:
        """The tally for programs: how many of each of `words`, and every letter."""
        counts = self.counts
        letters = [{"id": each.letter, "outcome": each.word, "text": each.text} for each in self.outcomes]
        summary: dict[str, Any] = {word: counts[word] for word in words}
        return {**summary, "dry_run": dry_run, "interrupted": self.interrupted, "letters": letters}
