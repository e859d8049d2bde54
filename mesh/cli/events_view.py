"""How the catalogue of event types looks."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.screen import facts, one_line, table, titled
from mesh.coordination.catalog import EventType


def listed(types: list[EventType]) -> RenderableType:
    """Names and purposes under their categories, in the catalogue's order."""
    if not types:
        return Text("no types")
    groups = groupby(sorted(types, key=lambda each: each.category), key=lambda each: each.category)
    parts = [titled(category or "no category", _rows(list(some))) for category, some in groups]
    critical = sum(each.critical for each in types)
    return Group(Text(f"{len(types)} types, {critical} critical (!)"), *parts)


def _rows(types: list[EventType]) -> RenderableType:
    return facts([(f"{each.name}{' !' if each.critical else ''}", one_line(each.purpose)) for each in types])


def described(kind: EventType) -> RenderableType:
    """One type: what it is, then the fields of its payload."""
    rows = {
        "type": kind.name,
        "alias": one_line(kind.alias),
        "category": one_line(kind.category),
        "purpose": one_line(kind.purpose),
        "critical": "yes" if kind.critical else "no",
        "emitter": kind.typed_emitter,
        "emitted by": ", ".join(map(one_line, kind.emitters)),
        "handled by": ", ".join(map(one_line, kind.subscribers)),
        "same within": _window(kind.dedup_window_s),
        "same whatever": ", ".join(kind.hash_without),
    }
    shown = facts([(name, text) for name, text in rows.items() if text])
    return Group(shown, titled("payload", _payload(kind)))


def _window(seconds: float | None) -> str:
    if seconds is None:
        return "the node's window"
    return f"{seconds:g} s, if the node is told so" if seconds else "never: every announcement counts"


def _payload(kind: EventType) -> RenderableType:
    if not kind.fields:
        return Text("not described: any JSON object")
    former = {field: [old for old, new in kind.renamed.items() if new == field] for field in kind.fields}
    made = table("field", "type", "formerly")
    for field, type_ in kind.fields.items():
        made.add_row(field, type_, ", ".join(former[field]))
    return made
