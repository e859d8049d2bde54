"""Which letters a command acts on, and the acting, a slice of them at a time.

    ids, or --all with filters ─▶ slice of 50 ─▶ the node acts or refuses, letter by letter ─▶ next slice

`--all` reaches the letters that were there when it began: it walks them in order of id and looks at no more than there
were, so letters that come in meanwhile are left for the next time and it always ends.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from mesh.client import NodeClient

SLICE_LETTERS = 50
"""Few enough that Ctrl-C never leaves much behind that the user was not told of."""

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


def choose(ids: list[int] | None, every: bool, most: int | None, topic: str | None, consumer: str | None) -> Choice:
    """The letters the command line names. Raises `typer.BadParameter` when it names none, or both kinds."""
    if bool(ids) == every:
        raise typer.BadParameter("name letters by ID (see `mesh dlq list`), or give --all, one of the two")
    if ids and (most or topic or consumer):
        raise typer.BadParameter("--max, --topic and --consumer go with --all, not with IDs")
    return Choice(ids or None, most, topic, consumer)


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
