"""Crossings: which event crosses which link, and by whom it came. Without faults it goes the shortest way.

    a ══[a.1 T 7]══▶ b ══[a.1 T 7]══▶ c      each link once, and never back to whom it came from

Judged only where nothing goes wrong: a link that falls has its last events sent a second time, and rightly so.
"""

from __future__ import annotations

from collections import Counter

from mesh.frame import decode
from tools.simulate.ledger import Id, Violated
from tools.simulate.network import Network


class Crossings:
    """The crossings of one network. Each statement raises `Violated` with what it is about."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._crossed: Counter[tuple[str, str, Id]] = Counter()
        self._brought: dict[tuple[str, Id], str] = {}

    def watch(self) -> None:
        """Note from now on which event crosses which link, and who brought it first."""
        self._network.taps.append(self._crossing)
        self._network.arrivals.append(self._bringing)

    def _crossing(self, source: str, target: str, data: bytes) -> None:
        for id_ in _ids(data):
            self._crossed[source, target, id_] += 1
            if target in (self._brought.get((source, id_)), id_[0].rpartition(".")[0]):
                text = "/".join(map(str, id_))
                raise Violated("an event does not go back", f"{text} went back from {source} to {target}", text)

    def _bringing(self, source: str, target: str, data: bytes) -> None:
        for id_ in _ids(data):
            self._brought.setdefault((target, id_), source)

    def once(self) -> None:
        """No event crossed a link twice."""
        for (source, target, id_), count in self._crossed.items():
            if count > 1:
                text = "/".join(map(str, id_))
                raise Violated(
                    "an event crosses a link once", f"{text} went {count} times from {source} to {target}", text
                )


def _ids(data: bytes) -> list[Id]:
    """The events in a message of a link; control has none."""
    if data[:1] == b"\x00":
        return []
    frame = decode(data)
    return [(frame.origin, frame.topic, sequence) for sequence in range(frame.sequence, frame.last + 1)]
