"""Acting on letters: which, a slice of them at a time, and looking what became of those that were retried.

    ids, or all that filters let through ─▶ slice of 50 ─▶ the node acts or refuses, letter by letter ─▶ next slice
                                                              └─ retry ─▶ follow: look until each has its outcome

All letters are those that were there when it began: they are walked in order of id, and no more are looked at than
there were, so letters that come in meanwhile are left for the next time and it always ends.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mesh.letter_outcomes import Outcome, judge

if TYPE_CHECKING:
    from mesh.client import NodeClient

SLICE_LETTERS = 50
"""Few enough that Ctrl-C never leaves much behind that the user was not told of."""

LOOK_S = (0.02, 0.5)
"""First and longest pause between two looks for outcomes."""

Reply = dict[str, Any]
Verb = Literal["dlq.retry", "dlq.discard"]


@dataclass(frozen=True)
class Choice:
    """Which letters: these `ids`, or (None) all that pass the filters, at most `most`."""

    ids: list[int] | None
    most: int | None = None
    topic: str | None = None
    consumer: str | None = None
    older_than_s: float | None = None

    @property
    def filters(self) -> dict[str, Any]:
        """The filters as the node reads them."""
        return {"topic": self.topic, "consumer": self.consumer, "older_than_s": self.older_than_s}


def slices(client: NodeClient, verb: Verb, choice: Choice, dry_run: bool, pace: Pace) -> Iterator[Reply]:
    """Have the node act on slice after slice; yields its answers {accepted, attempts, refused}."""

    def act(**fields: Any) -> Reply:
        pace.wait()
        reply = client.request(verb, actor=actor(), dry_run=dry_run, **fields)
        pace.spent(len(reply["accepted"]))
        return reply

    if choice.ids is None:
        summary = client.request("dlq.summary")
        yield from _walk(act, choice, summary["waiting"] + summary["dead"], pace.size)
    else:
        ids = list(dict.fromkeys(choice.ids))
        for start in range(0, len(ids), pace.size):
            yield act(ids=ids[start : start + pace.size])


def _walk(act: Callable[..., Reply], choice: Choice, unseen: int, size: int) -> Iterator[Reply]:
    """Slices of what passes the filters, in order of id, `unseen` letters at most."""
    room, after = unseen if choice.most is None else choice.most, 0
    while unseen > 0 and room > 0:
        reply = act(**choice.filters, after=after, limit=min(size, unseen, room))
        seen = [*reply["accepted"], *(letter for letter, _ in reply["refused"])]
        if not seen:
            return
        yield reply
        after, unseen, room = max(seen), unseen - len(seen), room - len(reply["accepted"])


def follow(client: NodeClient, attempts: dict[int, int], wait_s: float) -> Iterator[list[Outcome]]:
    """Look at retried letters until each has an outcome or `wait_s` seconds are over; yields what became known.

    attempts   letter → how often it had been tried when the retry was accepted; those with an outcome are taken out
    """
    deadline, (pause, longest) = time.monotonic() + wait_s, LOOK_S
    while attempts and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(longest, pause * 1.5)
        rows = client.request("dlq.list", ids=list(attempts), payloads=False)["rows"]
        known = judge(attempts, {row["id"]: row for row in rows})
        for each in known:
            del attempts[each.letter]
        yield known


def actor() -> str:
    """Who acts, for the record: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Pace:
    """At most `per_second` letters a second (None: no bound). Slices are then no larger than one second's letters."""

    def __init__(self, per_second: float | None = None) -> None:
        self.size = SLICE_LETTERS if per_second is None else max(1, min(SLICE_LETTERS, int(per_second)))
        self._per_second = per_second
        self._due = time.monotonic()

    def wait(self) -> None:
        """Wait until what was spent so far is paid for."""
        time.sleep(max(0.0, self._due - time.monotonic()))

    def spent(self, letters: int) -> None:
        """So many letters were acted on just now."""
        if self._per_second is not None:
            self._due = max(self._due, time.monotonic()) + letters / self._per_second
