"""`mesh dlq`: looking at the dead letters. What is done to them is in `mesh.cli.dlq_acts`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli import dlq_acts
from mesh.cli.asked import AsJson, Interval, Node, asked, print_json, print_row

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.client import NodeClient

Row = dict[str, Any]

PAGE_LETTERS = 100


class LetterState(StrEnum):
    """The two states of a letter."""

    waiting = "waiting"
    dead = "dead"


Topic = Annotated[str | None, typer.Option("--topic", metavar="P", help="Only letters of this topic or pattern.")]
Consumer = Annotated[
    str | None, typer.Option("--consumer", metavar="C", help="Only letters of this consumer; * stands for anything.")
]
State = Annotated[LetterState | None, typer.Option("--state", help="Only letters in this state.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file, and the acts."""
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback()(summary)
    group.command("list")(list_letters)
    group.command()(show)
    group.command()(errors)
    dlq_acts.register(group)
    group.command()(watch)
    app.add_typer(group, name="dlq")


def summary(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Dead letters: events a handler failed on.

    Without a command: summary and health.
    """
    ask = context.obj = asked(context, node, as_json)
    if context.invoked_subcommand is not None:
        return
    answer = ask.request("dlq.summary")
    if ask.json:
        print_json(answer)
        return
    from mesh.cli import dlq_view, screen

    screen.show(dlq_view.summary(answer))


def list_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Letters at most, the oldest first.")] = 20,
    state: State = None,
    topic: Topic = None,
    consumer: Consumer = None,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """The letters, the oldest first."""
    ask = asked(context, node, as_json)
    chosen = {"state": state and state.value, "topic": topic, "consumer": consumer}
    with ask.client() as client:
        rows = list(_letters(client, chosen, limit + 1))
    if ask.json:
        print_json(rows[:limit])
        return
    from mesh.cli import dlq_view, screen

    screen.show(dlq_view.letters(rows[:limit], more=len(rows) > limit))


def _letters(client: NodeClient, chosen: Row, limit: int) -> Iterator[Row]:
    """Up to `limit` letters. One answer holds as many as its size allows, so only an empty one is the last."""
    after = 0
    while limit > 0:
        rows = client.request("dlq.list", **chosen, after=after, limit=min(limit, PAGE_LETTERS))["rows"]
        if not rows:
            return
        yield from rows
        after, limit = rows[-1]["id"], limit - len(rows)


def show(
    context: typer.Context,
    letter: Annotated[int, typer.Argument(metavar="ID", help="The letter's number, see `mesh dlq list`.")],
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """One letter in full, with payload and traceback."""
    ask = asked(context, node, as_json)
    found = ask.request("dlq.show", letter=letter)["letter"]
    if ask.json:
        print_json(found)
        return
    from mesh.cli import dlq_view, screen

    screen.show(dlq_view.letter(found))


def errors(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """The letters grouped by error, the most frequent first."""
    ask = asked(context, node, as_json)
    rows = ask.request("dlq.errors")["rows"]
    if ask.json:
        print_json(rows)
        return
    from mesh.cli import dlq_view, screen

    screen.show(dlq_view.errors(rows))


def watch(
    context: typer.Context,
    interval: Interval = 30.0,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Summary and latest errors, refreshed until Ctrl-C. With --json: one summary a line."""
    ask = asked(context, node, as_json)
    if ask.json:
        from mesh.cli.repeat import repeat

        repeat(interval, lambda: print_row(ask.request("dlq.summary")))
        return
    from mesh.cli import dlq_view, screen

    def look() -> RenderableType:
        with ask.client() as client:
            return dlq_view.board(client.request("dlq.summary"), client.request("dlq.errors")["rows"])

    screen.watch(interval, look)
