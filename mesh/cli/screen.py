"""What people see: tables without lines, states in colour, and a view that refreshes itself.

Everything is rendered to text first and written afterwards, so a reader that goes away (`| head`) is met in one place.
Colour and width are Rich's business: none without a terminal or with NO_COLOR, 80 columns where nobody says otherwise.

Texts of events and errors were written by strangers: nothing in them is markup, and no control character of theirs
reaches the terminal (`plain`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mesh.cli.times import moment
from mesh.errors import NodeUnreachable

_STYLES = {
    **dict.fromkeys(("alive", "up", "attached", "resolved", "balanced", "healthy", "accepted"), "green"),
    **dict.fromkeys(("suspect", "connecting", "waiting", "duplicate"), "yellow"),
    **dict.fromkeys(("dead", "down", "auth-failed", "failed", "rejected", "lost", "refused"), "red"),
    **dict.fromkeys(("left", "detached"), "dim"),
}


def console() -> Console:
    """Standard output as Rich sees it now."""
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)


def show(*parts: RenderableType) -> None:
    """Print the parts, one below the other."""
    out = console()
    with out.capture() as captured:
        out.print(Group(*parts))
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def plain(text: object) -> str:
    """The text with every control character but the line break made visible as `\\x1b` and the like."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in str(text))


def one_line(text: object) -> str:
    """The first line of a text, plain."""
    lines = str(text).strip().splitlines()
    return plain(lines[0]) if lines else ""


def state(word: object, extra: str = "") -> Text:
    """A state in its colour, with something uncoloured after it."""
    return Text.assemble((str(word), _STYLES.get(str(word), "")), f" {extra}" if extra else "")


def count(number: int, bad: bool = True) -> Text:
    """A number that should be 0: red when it is not."""
    return Text(str(number), "red" if number and bad else "")


def table(*columns: str) -> Table:
    """An empty table. A column's name may end in `>` (numbers, to the right) or `…` (may be cut to one line)."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        if column.endswith("…"):
            made.add_column(column[:-1], overflow="ellipsis", no_wrap=True, min_width=8)
        elif column.endswith(">"):
            made.add_column(column[:-1], justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values, one pair a line."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def titled(title: str, part: RenderableType) -> RenderableType:
    """A part under its title, with an empty line before it."""
    return Group("", Text(title, "bold underline"), Padding(part, (0, 0, 0, 2)))


def watch(interval_s: float, look: Callable[[], RenderableType]) -> None:
    """Show what `look` returns again every `interval_s` seconds, until Ctrl-C. The first look must find the node."""
    out = console()
    shown = look()
    if not out.is_terminal:
        repeat(interval_s, lambda: show(look()), first=lambda: show(shown))
        return
    with Live(shown, console=out, auto_refresh=False, vertical_overflow="visible") as live:
        repeat(interval_s, lambda: live.update(_again(look, live), refresh=True), first=live.refresh)


def _again(look: Callable[[], RenderableType], live: Live) -> RenderableType:
    """A fresh look, or the last one with the time since when there is none."""
    try:
        return look()
    except NodeUnreachable as error:
        now = time.time()
        last = live.renderable
        kept = last.renderables[0] if isinstance(last, Group) and len(last.renderables) == 2 else last
        return Group(kept, Text(f"{moment(now, now)} {error}; still asking", "red"))


def repeat(interval_s: float, act: Callable[[], object], first: Callable[[], object] | None = None) -> None:
    """Do `first` (default: `act`), then `act` every `interval_s` seconds, until Ctrl-C."""
    try:
        (first or act)()
        while True:
            time.sleep(interval_s)
            act()
    except KeyboardInterrupt:
        return
