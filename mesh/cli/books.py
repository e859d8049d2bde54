"""`mesh consumers` and `mesh audit`: how far everybody is, and whether the books balance."""

from __future__ import annotations

import typer

from mesh.cli.asked import AsJson, Node, asked, print_json


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(consumers)
    app.command()(audit)


def consumers(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Who consumes what, how far they are, and who is behind."""
    ask = asked(context, node, as_json)
    rows = ask.request("consumers")["rows"]
    if ask.json:
        print_json(rows)
        return
    from mesh.cli import books_view, screen

    screen.show(books_view.consumers(rows))


def audit(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Balance the books.

    For every consumer: published = settled + waiting + dead + expired + lost + in flight. Exits 1 when it is not so.
    """
    ask = asked(context, node, as_json)
    answer = ask.request("audit")
    if ask.json:
        print_json(answer)
    else:
        from mesh.cli import books_view, screen

        screen.show(books_view.audit(answer))
    raise typer.Exit(0 if answer["balanced"] else 1)
