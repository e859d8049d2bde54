"""The rows of `mesh peers`: one for each member, and one for each address that is dialled and has not answered yet.

    members ──┐                        state, role, address, last seen
    links ────┴─▶ one row per member   link, round trip, clock, counts
              └─▶ links without a name: nobody has answered there, or it was refused

A member without a link is shown too, and why: what is not there is what an operator looks for. The former self of a
node that came back under a new generation is not shown beside it, nor one that was refused for its name and has
stopped, nor is a spare connection beside its link.
"""

from __future__ import annotations

from typing import Any

from node.clock import Now
from node.core import Node
from node.link import KEY_REFUSED, NAMED, Link
from node.members import Member

Row = dict[str, Any]

_STANDING = ("up", "spare")
_LINK_WORDS = {"up": "up", "spare": "up", "connecting": "connecting", "greeting": "connecting"}
_UNGREETED = "connected, but it has not greeted as a node"


def peer_rows(node: Node, now: Now) -> list[Row]:
    """One row per peer, in the shape of `mesh peers --json`, by name."""
    members, links = node.membership.members, list(node.links.links.values())
    mine: dict[str, list[Link]] = {}
    for link in links:
        mine.setdefault(link.origin or link.address, []).append(link)
    present = {row.fact.name for row in members.rows.values() if row.fact.status == "here" or row.linked}
    present.add(node.state.name)
    rows = [
        _member_row(node, row, _best(mine.get(origin) or _tried(row, mine)), now)
        for origin, row in members.rows.items()
        if row.linked or row.fact.status == "here" or row.fact.name not in present
    ]
    served = {address for row in members.rows.values() for address in row.fact.addresses}
    rows += [
        _link_row(link)
        for link in links
        if link.dialled
        and link.origin not in members.rows
        and (link.refused not in ("", *NAMED) or link.address not in served)
    ]
    return sorted(rows, key=lambda row: (row["name"], row["address"]))


def _tried(member: Member, links: dict[str, list[Link]]) -> list[Link]:
    """The connections that nobody has answered yet, and that would lead to a member."""
    return [link for address in member.fact.addresses for link in links.get(address, [])]


def _best(links: list[Link]) -> Link | None:
    """The link of a member: the one in use, else the one that says most."""
    order = ("up", "spare", "refused", "greeting", "connecting", "down")
    return min(links, key=lambda link: order.index(link.state), default=None)


def _member_row(node: Node, member: Member, link: Link | None, now: Now) -> Row:
    state = node.membership.members.state(member, now.mono_us)
    fact, heard_us = member.fact, member.heard_us
    if link is not None and link.state == "up":
        heard_us = link.heard_us
    reason = "" if state == "alive" else _reason(node, member, link)
    return {
        **_row(link),
        "name": fact.name,
        "state": state,
        "role": fact.role,
        "address": _address(member, link),
        "last_seen_s": None if heard_us is None else (now.mono_us - heard_us) / 1e6,
        "version": fact.version,
        "reason": reason,
        "origin": fact.origin,
        "incarnation": fact.incarnation,
    }


def _address(member: Member, link: Link | None) -> str:
    """Where the member was dialled; of one that dialled, the best address that it says, else where it listens."""
    if link is not None and link.dialled:
        return link.address
    return next(iter(member.fact.addresses), link.address if link is not None else "")


def _reason(node: Node, member: Member, link: Link | None) -> str:
    """Why a member is not well."""
    name, origin = member.fact.name, member.fact.origin
    rivals = [row.fact.origin for row in node.membership.members.rivals(name) if row.linked]
    rivals += [node.state.origin] if name == node.state.name else []
    if member.fact.status == "here" and set(rivals) - {origin}:
        return f"two nodes are called {name!r}: {origin} and {rivals[0]}; rename one"
    said = (link.reason if link is not None else "") or member.reason
    if member.fact.status != "here" or member.watched:
        return said
    elsewhere = "heard of, never linked" if member.heard_us is None else "heard of through others since its link ended"
    return "; ".join(filter(None, (said or elsewhere, _detour(node, member))))


def _detour(node: Node, member: Member) -> str:
    """How the events of a member without a link come here, where that is this node's business."""
    if "leaf" in (member.fact.role, node.links.me.role):
        return ""
    carrier = node.detour(member.fact.name)
    if carrier is None:
        return "no neighbour reaches it: its events do not come here"
    return carrier and f"{carrier} carries its events"


def _link_row(link: Link) -> Row:
    """An address where nobody has answered as a member."""
    reason = link.reason or (_UNGREETED if link.connected else "")
    return {**_row(link), "name": link.name, "state": "suspect", "address": link.address, "reason": reason}


def _row(link: Link | None) -> Row:
    """What is known from the link alone, and the defaults of the rest, in the order of the columns."""
    has = link or Link(b"", "", state="down")
    return {
        "name": "",
        "state": "suspect",
        "role": "peer",
        "address": "",
        "link": "auth-failed" if KEY_REFUSED in has.reason else _LINK_WORDS.get(has.state, "down"),
        "rtt_ms": None if has.rtt_us is None or has.state not in _STANDING else has.rtt_us / 1000,
        "last_seen_s": None,
        "clock_skew_ms": None if has.skew_us is None or has.state not in _STANDING else has.skew_us / 1000,
        "sent": has.sent,
        "received": has.received,
        "dropped": has.dropped,
        "repaired": has.repaired,
        "version": "",
        "via": "" if link is None else "dialled" if link.dialled else "accepted",
        "reason": "",
        "origin": has.origin,
        "incarnation": has.incarnation,
    }
