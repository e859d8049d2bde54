"""The views of all nodes side by side: who sees whom, and who is missing.

          a  b  c  d          one column per member, one row per node that answered
a         .  +  +  x          . itself   + linked   ~ no link, but not given up   x dead   - left   ? unknown
b         +  .  +  x
c         +  +  .  x          a partition shows as blocks, a dead node as a column, a deaf one as a row
d     no answer
e     not asked, no link from here
"""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

ITSELF, LINKED, DOUBTED, DEAD, LEFT, UNKNOWN = ".", "+", "~", "x", "-", "?"
_MARKS = {"dead": DEAD, "left": LEFT}


def names(views: dict[str, list[Row]], silent: list[str]) -> list[str]:
    """Every member that anybody knows, sorted."""
    return sorted({*views, *silent, *(row["name"] for rows in views.values() for row in rows if row["name"])})


def mark(viewer: str, name: str, rows: list[Row]) -> str:
    """How one node sees a member."""
    if viewer == name:
        return ITSELF
    seen = [LINKED if row["link"] == "up" else _MARKS.get(row["state"], DOUBTED) for row in rows if row["name"] == name]
    return LINKED if LINKED in seen else seen[0] if seen else UNKNOWN


def missing(views: dict[str, list[Row]], silent: list[str]) -> list[str]:
    """Who should be there and is not, each with the reason.

    Dead members that nobody is linked with, nodes that did not answer, and addresses that were given to a node as a
    peer's and where nobody has answered.
    """
    found = [f"{name} (no answer)" for name in silent]
    for name in names(views, []):
        marks = {viewer: mark(viewer, name, rows) for viewer, rows in views.items()}
        if name not in views and LINKED not in marks.values() and DEAD in marks.values():
            seen_by = sorted(viewer for viewer, each in marks.items() if each == DEAD)
            found.append(f"{name} (dead at {', '.join(seen_by)})")
    for viewer, rows in views.items():
        found += [f"{row['address']} (a peer of {viewer}, never reached)" for row in rows if not row["name"]]
    return found
