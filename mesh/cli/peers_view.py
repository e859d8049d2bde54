"""How the status and the peers look."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli import views
from mesh.cli.books_view import consumers
from mesh.cli.dlq_view import summary_line
from mesh.cli.issues import clock_is_off
from mesh.cli.screen import count, facts, named, one_line, state, table, titled
from mesh.cli.times import age, size
from mesh.cli.views import DEAD, DOUBTED, ITSELF, LEFT, LINKED, UNKNOWN

Row = dict[str, Any]
_OTHERS = 50
"""Columns that the figures of a peer take, and a little for what may be folded."""


def peers(rows: list[Row], known: int) -> RenderableType:
    """A table of peers; below it, why a link is not up. `known`: how many there are, these or others."""
    if not rows:
        return Text(f"no issues; peers: {known}" if known else "no peers: give this node some with --peer")
    names = [one_line(row["name"]) or "?" for row in rows]
    columns = ("peer", "state", "link", "rtt>", "seen>", "sent>", "received>", "dropped>", "address")
    made = table(*columns)
    for name, row in zip(names, rows, strict=True):
        made.add_row(
            name,
            state(row["state"]),
            state(row["link"]),
            "-" if row["rtt_ms"] is None else f"{row['rtt_ms']:.1f}ms",
            age(row["last_seen_s"]),
            str(row["sent"]),
            str(row["received"]),
            count(row["dropped"]),
            str(row["address"]).removeprefix("tcp://"),
        )
    shown = named(made, names, _OTHERS)
    remarks = [remark for row in rows for remark in _remarks(row)]
    return Group(shown, Text("\n".join(remarks), "yellow")) if remarks else shown


def matrix(answers: dict[str, list[Row]], silent: list[str]) -> RenderableType:
    """Who sees whom, one row per node. Only those that the node asked is linked with were asked in their turn."""
    names = views.names(answers, silent)
    width = max(len(one_line(name)) for name in names)
    columns = [f"{number:>{len(str(len(names)))}}" for number in range(1, len(names) + 1)]
    lines = [f"{'':{width + len(columns[0]) + 1}}  {' '.join(columns)}"]
    for number, name in zip(columns, names, strict=True):
        seen = "no answer" if name in silent else "not asked, no link from here"
        if name in answers:
            marks = [views.mark(name, each, answers[name]) for each in names]
            seen = " ".join(f"{mark:>{len(number)}}" for mark in marks)
        lines.append(f"{number} {one_line(name):{width}}  {seen}")
    lines.append(f"{LINKED} linked  {DOUBTED} no link  {DEAD} dead  {LEFT} left  {UNKNOWN} unknown  {ITSELF} itself")
    return Text("\n".join(lines))


def _remarks(row: Row) -> list[str]:
    """What does not fit a column: why a link is not up, and a clock that is off."""
    name = one_line(row["name"]) or row["address"]
    unsaid = row["link"] != "up" and row["reason"] not in ("", row["state"])
    said = [f"{name}: {one_line(row['reason'])}"] if unsaid else []
    skew_ms = row["clock_skew_ms"]
    if clock_is_off(row):
        said.append(f"{name}: its clock is {age(abs(skew_ms) / 1000)} {'ahead' if skew_ms > 0 else 'behind'}")
    return said


def status(answer: Row) -> RenderableType:
    """Everything of `mesh status`, the node first."""
    node, log = answer["node"], answer["log"]
    trouble = Text(one_line(node["trouble"]), "bold red") if node["trouble"] else Text("none", "green")
    books = state("balanced") if answer["balanced"] else Text("do not balance; see `mesh audit`", "red")
    programs = ", ".join(one_line(each["name"]) for each in answer["sessions"]) or "none"
    parts: list[RenderableType] = [
        facts(
            [
                ("node", f"{one_line(node['name'])} ({one_line(node['origin'])})"),
                ("version", f"{node['version']}, up {age(node['uptime_s'])}"),
                ("trouble", trouble),
                *([("conflict", Text(one_line(node["conflict"]), "bold red"))] if node["conflict"] else []),
                ("programs", programs),
                ("log", f"{log['events']} events in {log['batches']} batches, {size(log['bytes'])}"),
                ("letters", summary_line(answer["dlq"])),
                ("books", books),
                ("members", _knobs(answer["membership"])),
            ]
        ),
        titled("peers", peers(answer["peers"], len(answer["peers"]))),
    ]
    if answer["consumers"]:
        parts.append(titled("consumers", consumers(answer["consumers"])))
    return Group(*parts)


def _knobs(effective: Row) -> str:
    """The times that verdicts about members go by, as they follow from the two settings."""
    beat, suspect, dead, forget = (
        age(effective[key]) for key in ("heartbeat_s", "suspect_after_s", "dead_after_s", "forget_after_s")
    )
    return f"beat {beat}, suspect after {suspect}, dead after {dead}, forgotten after {forget}"
