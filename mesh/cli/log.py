"""`mesh log`: reading the replay log of the node, page by page; see `node.log_pages` for what a page is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import AsJson, Asked, Node, asked, need_command, print_json
from mesh.cli.times import parse_since

if TYPE_CHECKING:
    from mesh.client import NodeClient

Row = dict[str, Any]

PAGE_EVENTS = 1000
FOLLOW_S = 0.3
"""Pause between two looks for what is new."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback()(log)
    group.command()(stats)
    group.command()(tail)
    group.command()(show)
    group.command()(replay)
    app.add_typer(group, name="log")


def log(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """The replay log: every event this node has on disk."""
    context.obj = asked(context, node, as_json)
    need_command(context)


def stats(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """How large the log is, and which streams are in it."""
    ask = asked(context, node, as_json)
    answer = ask.request("log.stats")
    if ask.json:
        print_json(answer)
        return
    from mesh.cli import log_view, screen

    screen.show(log_view.stats(answer))


def tail(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Topic or pattern, as in 'gpu.*'.")] = "*",
    count: Annotated[int, typer.Option("-n", min=0, metavar="N", help="Events at most.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then print new ones, until Ctrl-C.")] = False,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """The last events, the oldest first. With --json: one object a line."""
    from mesh.topic import check_pattern

    check_pattern(pattern)
    ask = asked(context, node, as_json)
    with ask.client() as client:
        end = int(client.request("log.stats")["last_position"])
        _print(ask, last_rows(client, pattern, count, end))
        if follow:
            _follow(ask, client, pattern, end)


def show(
    context: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT_ID", help="ORIGIN/TOPIC/SEQUENCE.")],
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """One event in full."""
    from mesh.event import EventId

    try:
        EventId.parse(event)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    ask = asked(context, node, as_json)
    found = ask.request("log.show", event=event)["event"]
    if ask.json:
        print_json(found)
        return
    from mesh.cli import log_view, screen

    screen.show(log_view.event(found))


def replay(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Topic or pattern, as in 'gpu.*'.")],
    since: Annotated[str, typer.Option(metavar="WHEN", help="earliest, 15m, 2h, seconds ago, or an ISO time.")],
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Print everything from a moment up to now.

    In the order the node took it in. With --json: one object a line.
    """
    from mesh.options import since_wire
    from mesh.topic import check_pattern

    check_pattern(pattern)
    try:
        start = since_wire(parse_since(since))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    ask = asked(context, node, as_json)
    with ask.client() as client:
        end = int(client.request("log.stats")["last_position"])
        _print(ask, rows_since(client, pattern, start, end))


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def last_rows(client: NodeClient, pattern: str, count: int, end: int) -> list[Row]:
    """The last `count` events of a pattern up to position `end`, oldest first."""
    rows: list[Row] = []
    before = end + 1
    while len(rows) < count:
        page = client.request("log.tail", pattern=pattern, before=before, limit=min(count - len(rows), PAGE_EVENTS))
        rows = page["rows"] + rows
        before = page["before"]
        if not page["more"]:
            break
    return rows


def rows_since(client: NodeClient, pattern: str, since: object, end: int) -> Iterator[Row]:
    """The events of a pattern since a moment (as it travels) up to position `end`, oldest first."""
    where: Row = {"since": since}
    while True:
        page = client.request("log.tail", pattern=pattern, limit=PAGE_EVENTS, **where)
        yield from (row for row in page["rows"] if row["position"] <= end)
        if not page["more"] or page["position"] >= end:
            return
        where = {"after": page["position"]}


def _follow(ask: Asked, client: NodeClient, pattern: str, position: int) -> None:
    try:
        while True:
            page = client.request("log.tail", pattern=pattern, after=position, limit=PAGE_EVENTS)
            _print(ask, page["rows"])
            position = page["position"]
            if not page["more"]:
                time.sleep(FOLLOW_S)
    except KeyboardInterrupt:
        return


def _print(ask: Asked, rows: Iterable[Row]) -> None:
    from mesh.cli.event_lines import event_json, event_text

    for row in rows:
        print(event_json(row) if ask.json else event_text(row))
    print(end="", flush=True)
