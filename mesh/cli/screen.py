"""What people see: tables without lines, states in colour, and a view that refreshes itself.

Everything is rendered to text first and written afterwards, so a reader that goes away (`| head`) is met in one place.
Colour is Rich's business: none without a terminal or with NO_COLOR.

What people copy (payloads, tracebacks, ids, errors) is never broken: only the cells of a table are folded to the width
of the terminal. A pipe has no width, so there every row is one line for `grep` and `awk`, unless COLUMNS names one:

    a terminal     curriculum        a pipe     curriculum, TRAINING_COMPLETED
                   TRAINING_COMPL
                   ETED

Texts of events and errors were written by strangers: nothing in them is markup, and no control character of theirs
reaches the terminal (`plain`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from mesh.cli.repeat import repeat
from mesh.errors import NodeUnreachable

_STYLES = {
    **dict.fromkeys(("alive", "up", "attached", "resolved", "balanced", "healthy", "accepted"), "green"),
    **dict.fromkeys(("suspect", "connecting", "waiting", "duplicate"), "yellow"),
    **dict.fromkeys(("dead", "down", "auth-failed", "failed", "rejected", "lost", "refused"), "red"),
    **dict.fromkeys(("left", "detached"), "dim"),
}


UNBOUNDED = 1_000_000
"""Columns of what has no width: more than any row is long."""


def folds() -> bool:
    """Whether standard output has a width that tables are to keep to."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def console() -> Console:
    """Standard output as Rich sees it now."""
    width = None if folds() else UNBOUNDED
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False, width=width)


def show(*parts: RenderableType) -> None:
    """Print the parts, one below the other. Tables keep to the width, texts are left as they are."""
    out = console()
    with out.capture() as captured:
        out.print(Group(*parts), soft_wrap=True)
    print("\n".join(line.rstrip() for line in captured.get().split("\n")).rstrip("\n"))
    sys.stdout.flush()


def say(*lines: Text) -> None:
    """Print sentences, each on one line of its own however long it is."""
    out = console()
    with out.capture() as captured:
        for line in lines:
            out.print(line, soft_wrap=True)
    print(captured.get(), end="", flush=True)


def plain(text: object) -> str:
    """The text with every control character but the line break made visible as `\\x1b` and the like."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in str(text))


def one_line(text: object, chars_max: int = 1000) -> str:
    """The first line of a text, plain, cut to `chars_max` characters."""
    lines = str(text).strip().splitlines()
    line = plain(lines[0]) if lines else ""
    return line if len(line) <= chars_max else line[: chars_max - 1] + "…"


def state(word: object, extra: str = "") -> Text:
    """A state in its colour, with something uncoloured after it."""
    return Text.assemble((str(word), _STYLES.get(str(word), "")), f" {extra}" if extra else "")


def count(number: int, bad: bool = True) -> Text:
    """A number that should be 0: red when it is not."""
    return Text(str(number), "red" if number and bad else "")


def table(*columns: str) -> Table:
    """An empty table. A column whose name ends in `>` holds numbers; in any other, what is too long goes on below."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        if column.endswith(">"):
            made.add_column(column[:-1], justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


@dataclass(frozen=True)
class _Named:
    part: Table
    columns: int

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield from out.render(self.part, options.update_width(max(self.columns, options.max_width)))


def named(made: Table, names: Iterable[str], others: int) -> RenderableType:
    """A table whose first column holds these names and never breaks them. The others have at least so many columns.

    Where a terminal is narrower, it breaks the lines itself: whatever is wrong, one must see with whom.
    """
    made.columns[0].min_width = max(map(cell_len, names))
    return _Named(made, made.columns[0].min_width + others)


def stacked(upper: str | Text, lower: str) -> Text:
    """Two names in one cell: one below the other where cells are folded, else on one line."""
    return Text.assemble(upper, "\n" if folds() else ", ", (lower, "dim"))


def facts(rows: Iterable[tuple[str, str | Text]]) -> Text:
    """Names and values, one pair a line; further lines of a value stand below its first."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs) + 2
    lines = []
    for name, value in pairs:
        first, *further = (Text(value) if isinstance(value, str) else value).split("\n", allow_blank=True) or [Text()]
        lines.append(Text.assemble((name.ljust(width), "bold"), first))
        lines += [Text(" " * width).append_text(line) for line in further]
    return Text("\n").join(lines)


@dataclass(frozen=True)
class _Indented:
    """A part moved to the right. Unlike Rich's padding it cuts nothing off."""

    part: RenderableType
    columns: int

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> Iterator[Segment]:
        narrower = options.update_width(max(1, options.max_width - self.columns))
        for line in Segment.split_lines(out.render(self.part, narrower)):
            yield Segment(" " * self.columns)
            yield from line
            yield Segment.line()


def titled(title: str, part: RenderableType) -> RenderableType:
    """A part under its title, with an empty line before it."""
    return Group("", Text(title, "bold underline"), _Indented(part, 2))


def watch(interval_s: float, look: Callable[[], RenderableType]) -> None:
    """Show what `look` returns, again every `interval_s` seconds until Ctrl-C.

    The first look must find the node; later ones may not, and then the last view stays with a line that says so.
    """
    out = console()
    if not out.is_terminal:
        repeat(interval_s, lambda: show(look()))
        return
    seen = look()

    def refresh() -> None:
        nonlocal seen
        try:
            seen = look()
            live.update(seen, refresh=True)
        except NodeUnreachable as error:
            live.update(Group(seen, Text(f"{error} (still asking)", "red")), refresh=True)

    with Live(seen, console=out, auto_refresh=False) as live:
        repeat(interval_s, refresh)
