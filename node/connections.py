"""Connections: which of several to one peer carries its link. Rules, no sockets.

    a ══ c1, dialled by b ══ b        c1 up                        the only one
    a ══ c2, dialled by a ══ b        c2 up, c1 spare              lesser rank: name of the dialler, address it dialled
    c2 falls                          c1 up, and `use` is said     whoever notices takes the spare, the other follows
    c2 stands again                   c2 up, c1 spare

Both ends know the ranks, so they agree without asking. The others stay open as spares. A link outlives its connections:
when another one of the same peer, in the same life of it, takes over, the link has `moved`, and nobody is told that it
was down. What was said on it before stands, and is said again as a whole, because the end of it may be lost.

Who loses the connection in use takes a spare at once and tells the far end to `use` it. Until both have changed, either
end takes frames and talk from a spare, too; only what says a change to what was said before counts on the connection in
use alone.
"""

from __future__ import annotations

from node.clock import Now
from node.link import Heard, Link, LinkState, same_life
from node.rivals import Claim
from node.turn import LinkKey, Turn

_SPARED = "another connection is used"


class Connections:
    """All connections of a node, by key. Methods return what others must hear of; what to send goes into the turn."""

    def __init__(self, name: str) -> None:
        self.links: dict[LinkKey, Link] = {}
        self._name = name

    def used(self, name: str) -> Link | None:
        """The link to the peer of that name, if one is up."""
        return next((each for each in self.links.values() if each.name == name and each.state == "up"), None)

    def through(self, link: Link | None, changes: bool = False) -> Link | None:
        """The link that speaks over a connection: itself if in use, else the one for which it is a spare."""
        if link is None or link.state == "up":
            return link
        used = self.used(link.name) if link.state == "spare" and not changes else None
        return used if used is not None and same_life(used, link) else None

    def choose(self, link: Link, now: Now) -> list[Heard]:
        """Use this connection unless one of lesser rank is; of two alike the newer, for the older one is gone."""
        rival = self.used(link.name)
        if link is rival:
            return []
        if rival is None:
            link.state = "up"
            return [Heard("up", link, {})]
        if self._rank(rival) < self._rank(link):
            self._spare(link, now)
            return []
        self._spare(rival, now)
        return self.moved(rival, link)

    def answered(self, link: Link, spare: bool, turn: Turn) -> list[Heard]:
        """A greeting is answered; the far end says if it uses another connection, of which this end may know or not."""
        used = self.used(link.name)
        if spare and used is not None and used is not link:
            self._spare(link, turn.now)
            return []
        if spare:
            turn.control(link.key, {"t": "use"})
        return self.choose(link, turn.now)

    def follow(self, link: Link, now: Now) -> list[Heard]:
        """The far end uses this connection: so does this one."""
        used = self.used(link.name)
        if link.state not in ("up", "spare") or used is None:
            return []
        if used is not link:
            self._spare(used, now)
        return self.moved(used, link)

    def moved(self, old: Link, new: Link) -> list[Heard]:
        """A link goes on over another connection, or over the same for somebody who lost sight of it."""
        used = self.used(new.name) if old is new else new
        if used is None:
            return []
        used.state, used.reason = "up", ""
        return [Heard("moved", used, {"from": used.key if old is new else old.key})]

    def lower(self, link: Link, reason: str, state: LinkState, turn: Turn) -> list[Heard]:
        """A connection is of no more use; a spare takes its place, or the link is down."""
        was_up = link.state == "up"
        link.state, link.reason = state, reason
        if not was_up:
            return []
        spares = [each for each in self.links.values() if each.state == "spare" and same_life(each, link)]
        heir = min((each for each in spares if not each.left), key=self._rank, default=None)
        if heir is None:
            return [Heard("down", link, {})]
        turn.control(heir.key, {"t": "use"})
        return self.moved(link, heir)

    def alike(self, link: Link) -> list[Link]:
        """The connections to the same process: the spares before the one in use, so that none of them takes over."""
        found = [each for each in self.links.values() if each.name == link.name and same_life(each, link)]
        return sorted(found, key=lambda each: each.state == "up")

    def end_former_lives(self, link: Link, former: Claim, turn: Turn) -> list[Heard]:
        """A peer in a new life has nothing behind its former connections any more.

        Nor is what it said in its `former` life over this one true, if that was read behind the next connection.
        """
        restarted = (former.origin, former.life) != (link.origin, link.life)
        alike = [each for each in self.links.values() if each.name == link.name]
        gone = [each for each in alike if (restarted if each is link else not same_life(each, link))]
        gone = sorted((each for each in gone if each.state in ("up", "spare")), key=lambda each: each.state == "up")
        return [heard for each in gone for heard in self.lower(each, "the peer restarted", "down", turn)]

    def _spare(self, link: Link, now: Now) -> None:
        link.state, link.reason, link.acted_us = "spare", _SPARED, now.mono_us

    def _rank(self, link: Link) -> tuple[str, str]:
        return (self._name if link.dialled else link.name), link.dialled_at
