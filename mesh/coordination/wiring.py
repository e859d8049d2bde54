"""Verifying the wiring of a running mesh: ask the nodes, and find the gaps.

    verify_wiring() ──everywhere: `wiring.view`──▶ the node and all its peers ──▶ rows ──▶ `wiring_gaps` ──▶ Verified

Each node answers from what it knows: the streams in its log, its consumers, and what the programs at it have reported.
A node that does not answer may have the subscriber somebody else seems to lack, so nothing is complete without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh.client import NodeClient
from mesh.coordination.catalog import default_catalog
from mesh.coordination.wiring_gaps import KINDS, AllowList, Gap, Kind, Known, WiringRow, find_gaps

ANSWERS_S = 2.0
"""How long the peers are waited for; a client waits longer."""

NOTES: frozenset[Kind] = frozenset({"never-seen"})
"""Kinds that are worth knowing and nothing to mend: most meshes use a part of the catalogue."""


@dataclass(frozen=True)
class Verified:
    """What was found. `nodes`: who answered; `silent`: who did not; `gaps`: everything that is not allowed."""

    nodes: tuple[str, ...]
    silent: tuple[str, ...]
    gaps: tuple[Gap, ...]

    @property
    def to_mend(self) -> list[Gap]:
        """The gaps but for the notes."""
        return [gap for gap in self.gaps if gap.kind not in NOTES]

    @property
    def complete(self) -> bool:
        """Whether every node has answered and there is nothing to mend."""
        return not self.silent and not self.to_mend

    def topics(self, kind: Kind) -> list[str]:
        """The topics with a gap of one kind."""
        return [gap.topic for gap in self.gaps if gap.kind == kind]

    @property
    def orphans(self) -> list[str]:
        """Topics that are announced and have no subscriber."""
        return self.topics("orphan")


def verify(client: NodeClient, allowed: AllowList | None = None) -> Verified:
    """Ask a node and all its peers, and compare with the catalogue of this process. Raises `NodeUnreachable`."""
    found = client.request("everywhere", verb="wiring.view", timeout_s=ANSWERS_S)
    answers = dict(sorted(found["answers"].items()))
    rows: list[WiringRow] = [row for answer in answers.values() if answer.get("ok") for row in answer["rows"]]
    silent = {*found["silent"], *(name for name, answer in answers.items() if not answer.get("ok"))}
    known = (Known(each.name, each.critical) for each in default_catalog())
    return Verified(tuple(row["node"] for row in rows), tuple(sorted(silent)), tuple(find_gaps(rows, known, allowed)))


def verify_wiring(node: str | Path | None = None, *, allow: Iterable[str] = ()) -> Verified:
    """Find what is wrong with the wiring of the mesh; `verified.complete` says that nothing is.

    node    a node's data directory or `tcp://HOST:PORT`; default: MESH_NODE, else this user's node
    allow   topics or patterns with gaps that are known and accepted, of whichever kind

    Raises `NodeUnreachable`.
    """
    accepted = list(allow)
    with NodeClient(node) as client:
        return verify(client, AllowList(dict.fromkeys(KINDS, accepted)))
