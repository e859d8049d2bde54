"""How letters look."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.screen import count, facts, one_line, plain, stacked, state, table, titled
from mesh.cli.times import age, moment
from mesh.letter_outcomes import Outcome, Tally, Word

Row = dict[str, Any]

_PLACE = re.compile(r'File "([^"]+)", line (\d+)(.*)')

ERROR_CHARS = 120
"""Of an error in a table; `mesh dlq show` has all of it."""
TOP = 10
"""Topics and consumers in a summary at most."""


def summary_line(answer: Row) -> Text:
    """The queue in one line."""
    line = Text.assemble(f"{answer['waiting']} waiting, ", count(answer["dead"]), " dead")
    return (
        line.append(f", the oldest {age(answer['oldest_age_s'])} old") if answer["waiting"] + answer["dead"] else line
    )


def summary(answer: Row) -> RenderableType:
    """Health first, then how many, of which topics, at which consumers."""
    verdict = Text(plain(answer["message"]), "green" if answer["healthy"] else "red")
    parts: list[RenderableType] = [
        verdict,
        facts(
            [
                ("waiting", str(answer["waiting"])),
                ("dead", count(answer["dead"])),
                ("resolved", str(answer["resolved"])),
                ("oldest", age(answer["oldest_age_s"]) if answer["waiting"] + answer["dead"] else "-"),
            ]
        ),
    ]
    for title, numbers in (("by topic", answer["by_topic"]), ("by consumer", answer["by_consumer"])):
        if numbers:
            parts.append(titled(title, _ranking(numbers)))
    return Group(*parts)


def _ranking(numbers: dict[str, int]) -> RenderableType:
    made = table("letters>", "")
    made.show_header = False
    ranked = sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
    for name, number in ranked[:TOP]:
        made.add_row(str(number), one_line(name))
    if len(ranked) > TOP:
        made.add_row(str(sum(number for _, number in ranked[TOP:])), f"in {len(ranked) - TOP} others")
    return made


def letters(rows: list[Row], more: bool) -> RenderableType:
    """A table of letters. `more`: not all of them are in it."""
    if not rows:
        return Text("no letters")
    now = time.time()
    made = table("id>", "state", "age>", "next>", "tries>", "consumer, topic", "error")
    for row in rows:
        made.add_row(
            str(row["id"]),
            state(row["state"]),
            age(now - row["created_at"]),
            _next(row, now),
            str(row["attempts"]),
            _stacked(row),
            one_line(f"{row['error_type']}: {row['error']}", ERROR_CHARS),
        )
    return Group(made, Text("there are more; see --limit", "dim")) if more else made


def _stacked(row: Row) -> Text:
    """Who failed on what: two names that are long."""
    return stacked(one_line(row["consumer"]), one_line(row["topic"]))


def place(text: str) -> str:
    """`File "/srv/app/coordination/train.py", line 4, in handle` as `coordination/train.py:4 in handle`."""
    found = _PLACE.match(text)
    if found is None:
        return one_line(text)
    return one_line(f"{'/'.join(found[1].split('/')[-2:])}:{found[2]}{found[3].replace(',', '', 1)}")


def _next(row: Row, now: float) -> str:
    due = row["next_attempt_at"]
    return "-" if due is None else age(due - now) if due > now else "due"


def letter(row: Row) -> RenderableType:
    """One letter in full."""
    now = time.time()
    payload = orjson.dumps(row["payload"], option=orjson.OPT_INDENT_2).decode()
    parts: list[RenderableType] = [
        facts(
            [
                ("letter", str(row["id"])),
                ("state", state(row["state"])),
                ("event", plain(row["event_id"])),
                ("consumer", plain(row["consumer"])),
                ("attempts", f"{row['attempts']}, {row['retries']} by an operator's retry"),
                ("first failed", _when(row["first_failed_at"], now)),
                ("last failed", _when(row["last_failed_at"], now)),
                ("next attempt", _next(row, now)),
                ("node", plain(row["node"])),
                ("error", Text(plain(f"{row['error_type']}: {row['error']}"), "red")),
            ]
        ),
        titled("payload", Text(plain(payload))),
    ]
    if row["traceback"]:
        parts.append(titled("traceback", Text(plain(row["traceback"]).rstrip())))
    return Group(*parts)


def _when(time_s: float, now: float) -> str:
    return f"{moment(time_s, now)} ({age(now - time_s)} ago)"


def errors(rows: list[Row]) -> RenderableType:
    """A table of groups."""
    if not rows:
        return Text("no letters")
    now = time.time()
    made = table("letters>", "last>", "consumer, topic", "error, place")
    for row in rows:
        made.add_row(
            str(row["count"]),
            age(now - row["last_failed_at"]),
            _stacked(row),
            stacked(Text(one_line(row["error_type"]), "red"), place(row["place"])),
        )
    return made


def board(answer: Row, groups: list[Row]) -> RenderableType:
    """What `mesh dlq watch` shows."""
    now = time.time()
    parts: list[RenderableType] = [Text(moment(now, now), "dim"), summary(answer)]
    if groups:
        parts.append(titled("errors", errors(groups[:TOP])))
    return Group(*parts)


_SENTENCES: dict[Word, str] = {
    "resolved": "its handler succeeded",
    "waiting": "no outcome yet; see `mesh dlq list`",
}


def outcome(each: Outcome) -> Text:
    """One letter's outcome in a line."""
    said = f"letter {each.letter}: "
    if each.word == "accepted":
        return Text(said + "would be retried")
    word = "failed again" if each.word == "failed" else each.word
    sentence = one_line(each.text) or _SENTENCES.get(each.word, "")
    return Text.assemble(said, state(each.word) if word == each.word else (word, "red"), f" · {sentence}")


def sum_of(tally: Tally, words: tuple[Word, ...], done: str, dry_run: bool) -> Text:
    """All outcomes in a line."""
    counts = tally.counts
    if not tally.outcomes and not tally.interrupted:
        return Text("no letters to act on")
    if dry_run:
        return Text(f"{counts['accepted']} would be {done}, {counts['refused']} refused")
    said = ", ".join(f"{counts[word]} {'failed again' if word == 'failed' else word}" for word in words if counts[word])
    return Text(said or f"0 {done}")
