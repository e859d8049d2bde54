"""Verifying the wiring of a running mesh: ask the nodes, and find the gaps.

    verify_wiring() ──`wiring.view`──▶ the node ──▶ rows ──▶ `mesh.coordination.wiring_gaps`

A node answers from what it knows: the streams in its log, its consumers, and what the programs at it have reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh.client import NodeClient
from mesh.coordination.catalog import default_catalog
from mesh.coordination.wiring_gaps import KINDS, AllowList, Gap, Kind, Known, WiringRow, find_gaps

NOTES: frozenset[Kind] = frozenset({"never-seen"})
"""Kinds that are worth knowing and nothing to mend: most meshes use a part of the catalogue."""


@dataclass(frozen=True)
class Verified:
    """What was found. `nodes`: which nodes answered; `gaps`: everything that is not allowed."""

    nodes: tuple[str, ...]
    gaps: tuple[Gap, ...]

    @property
    def complete(self) -> bool:
        """Whether there is nothing to mend."""
        return not any(gap.kind not in NOTES for gap in self.gaps)

    def topics(self, kind: Kind) -> list[str]:
        """The topics with a gap of one kind."""
        return [gap.topic for gap in self.gaps if gap.kind == kind]

    @property
    def orphans(self) -> list[str]:
        """Topics that are announced and have no subscriber."""
        return self.topics("orphan")


def ask_rows(client: NodeClient) -> list[WiringRow]:
    """What the node knows, as rows for `find_gaps`. Raises `NodeUnreachable`."""
    rows: list[WiringRow] = client.request("wiring.view")["rows"]
    return rows


def verify(rows: list[WiringRow], allowed: AllowList | None = None) -> Verified:
    """Compare rows with the catalogue of this process."""
    known = (Known(each.name, each.critical) for each in default_catalog())
    return Verified(tuple(row["node"] for row in rows), tuple(find_gaps(rows, known, allowed)))


def verify_wiring(node: str | Path | None = None, *, allow: Iterable[str] = ()) -> Verified:
    """Find what is wrong with the wiring of the mesh; `verified.complete` says that nothing is.

    node    a node's data directory or `tcp://HOST:PORT`; default: MESH_NODE, else this user's node
    allow   topics or patterns with gaps that are known and accepted, of whichever kind

    Raises `NodeUnreachable`.
    """
    accepted = list(allow)
    with NodeClient(node) as client:
        rows = ask_rows(client)
    return verify(rows, AllowList(dict.fromkeys(KINDS, accepted)))
