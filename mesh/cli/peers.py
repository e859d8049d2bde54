"""`mesh status` and `mesh peers`: how the node is, whom it sees, and who sees whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import AsJson, Asked, Interval, Node, asked, complain, print_json, print_row
from mesh.cli.issues import has_issue
from mesh.errors import InvalidOption

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = dict[str, Any]

_ANSWERS_S = 3.0
"""How long the answers of other nodes are waited for; less than a command waits for its own node."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(status)
    app.command()(peers)


def status(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """The node at a glance: peers, programs, consumers, letters, log."""
    ask = asked(context, node, as_json)
    answer = ask.request("status")
    if ask.json:
        print_json(answer)
        return
    from mesh.cli import peers_view, screen

    screen.show(peers_view.status(answer))


def peers(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    interval: Interval = 2.0,
    issues_only: Annotated[
        bool,
        typer.Option(
            "--issues-only",
            help="Only peers that are not well: not alive, drops, a clock that is off; exit 1 when there is one.",
        ),
    ] = False,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Who sees whom: every node's view side by side; exit 1 when one is missing.")
    ] = False,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Who the node's peers are, and how the links to them are.

    The state of a peer is known (no link, heard of through others), alive, suspect (its link ended or is silent), dead
    (so for longer), or left (it said goodbye). Its link is up, connecting, down, or auth-failed (its key is not
    allowed). An address where no node has answered yet has the name "?".

    rtt is the round trip, seen how long ago the peer was last heard. sent, received and dropped (its queue was full)
    count frames of events on its link; what is published in bursts travels many events in a frame.
    """
    ask = asked(context, node, as_json)
    if everywhere:
        if watch or issues_only:
            raise InvalidOption("--all stands alone; leave out --watch and --issues-only")
        _show_all(ask)
        return
    if watch:
        _watch(ask, issues_only, interval)
        return
    rows, known = _rows(ask, issues_only)
    if ask.json:
        print_json(rows)
    else:
        from mesh.cli import peers_view, screen

        screen.show(peers_view.peers(rows, known))
    if issues_only and rows:
        raise typer.Exit(1)


def _rows(ask: Asked, issues_only: bool) -> tuple[list[Row], int]:
    """The rows to be shown, and how many peers there are."""
    every = ask.request("peers")["rows"]
    if not issues_only:
        return every, len(every)
    viewer = ask.request("status")["node"]["role"]
    return [row for row in every if has_issue(row, viewer)], len(every)


def _show_all(ask: Asked) -> None:
    """Print every node's view; exit 1, with one line that names them, when members are missing."""
    from mesh.cli import views

    found = ask.request("everywhere", verb="peers", timeout_s=_ANSWERS_S)
    answers = {name: answer["rows"] for name, answer in found["answers"].items() if answer.get("ok")}
    silent = [*found["silent"], *(name for name, answer in found["answers"].items() if not answer.get("ok"))]
    missing = views.missing(answers, silent)
    if ask.json:
        print_json({"views": answers, "silent": silent, "missing": missing})
    else:
        from mesh.cli import peers_view, screen

        screen.show(peers_view.matrix(answers, silent))
    if missing:
        complain(f"missing: {'; '.join(missing)}")
        raise typer.Exit(1)


def _watch(ask: Asked, issues_only: bool, interval: float) -> None:
    if ask.json:
        from mesh.cli.repeat import repeat

        repeat(interval, lambda: print_row(_rows(ask, issues_only)[0]))
        return
    from mesh.cli import peers_view, screen

    def look() -> RenderableType:
        return peers_view.peers(*_rows(ask, issues_only))

    screen.watch(interval, look)
