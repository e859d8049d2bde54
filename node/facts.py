"""Facts: what is said of a member, by itself or about it, and which of two is the later one.

    incarnation 3  here ─▶ dead ─▶ left        a bad word holds against old good ones …
    incarnation 4  here ─▶ …                   … until the member itself contradicts

Facts about a member are ordered by (incarnation, status, sequence, life), never by a clock. The incarnation is a count
that the member alone raises: at every start, and when it hears that it is said to be dead or gone though it is not.
Within one incarnation `here` < `dead` < `left`: a bad word holds against old good ones until the member itself
contradicts (SWIM: Das, Gupta and Motivala, 2002). Whatever comes, in any order and however often, the table ends up the
same.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from node.link import Identity, Role

Status = Literal["here", "dead", "left"]
STATUSES: tuple[Status, ...] = ("here", "dead", "left")
"""In the order in which one beats the other within an incarnation."""
Stamp = tuple[int, int, int, str]
"""incarnation, place of the status in `STATUSES`, sequence, life"""


class Fact(NamedTuple):
    """What is said of a member. `sequence` counts what it has said of itself within its incarnation.

    `life` names its process: two that run on copies of one data directory differ in nothing else.
    """

    name: str
    origin: str
    incarnation: int = 0
    sequence: int = 0
    status: Status = "here"
    role: Role = "peer"
    addresses: tuple[str, ...] = ()
    version: str = ""
    life: str = ""

    @property
    def stamp(self) -> Stamp:
        """What orders facts about one origin."""
        return self.incarnation, STATUSES.index(self.status), self.sequence, self.life


def fact_of(me: Identity) -> Fact:
    """What a node says of itself while it runs."""
    return Fact(me.name, me.origin, me.incarnation, me.sequence, "here", me.role, me.addresses, me.version, me.life)
