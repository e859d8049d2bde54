"""Heartbeats: on which links a sign of life goes out at a beat, and on which it asks for an answer. Rules, no I/O.

    beat       1       2       3       4  …      a heartbeat apart, on whole ones of the wall clock (`Now.beat`)
    few links  ● ● ●   ● ● ●   ● ● ●   ● ● ●     each at every beat
    many       ● ○ ●   ○ ● ○   ● ○ ●   ○ ● ○     each at every second one, if so many signs still fit into the silence
                                                 that its far end bears

Everybody tells everybody that he is there, so in a large mesh that is most of what an idle node does: its cost grows
with the links, and that of all nodes together with their square. From 21 links on a node says it more rarely, but so
that three signs fall into the silence after which the far end takes it for dead; that is said in the greeting. To whom
has not said it (an older release), and on a link that is new and not measured yet, a sign goes out at every beat.

Every node has its own settings, and who sends a sign every 30 s is not to be dead for a peer that bears 10 s of it:
where less comes than three signs in that time, the far end is asked at every beat, and its answer is one.
"""

from __future__ import annotations

from collections.abc import Collection

from node.link import Link

SIGNS_PER_BEAT = 20
"""Signs of life that a node sends at a beat, as far as the far ends bear it."""
_SIGNS_IN_SILENCE = 3
"""Signs that fall into the silence after which a peer counts as dead: two of them may be lost or late."""
_MEASURED_SIGNS = 5
"""At every so many signs the round trip and the far clock are measured."""


def beats_between(links: int, bears_us: int, heartbeat_us: int) -> int:
    """How many beats are between two signs on a link, of so many, whose far end bears a silence of `bears_us`."""
    enough = -(-links // SIGNS_PER_BEAT)
    return max(1, min(enough, bears_us // _SIGNS_IN_SILENCE // heartbeat_us))


class Heartbeats:
    """One node's signs of life. `heartbeat_us`: from one beat to the next; `dead_after_us`: the silence it bears."""

    def __init__(self, heartbeat_us: int, dead_after_us: int) -> None:
        self._heartbeat_us = heartbeat_us
        self._quiet_us = dead_after_us // _SIGNS_IN_SILENCE
        self._beats = 0

    def beat(self, links: Collection[Link], now_us: int) -> list[tuple[Link, bool]]:
        """The links, of all that are open, on which a sign goes out at this beat, and whether it measures."""
        self._beats += 1
        due: list[tuple[Link, bool]] = []
        for place, link in enumerate(links):
            link.beat = link.beat + 1 if link.beat else self._beats + place  # by turns, also where many came at once
            between = beats_between(len(links), link.bears_us, self._heartbeat_us)
            if link.rtt_us is None or now_us - link.heard_us > self._quiet_us:
                due.append((link, True))
            elif link.beat % between == 0:
                due.append((link, link.beat // between % _MEASURED_SIGNS == 0))
        return due
