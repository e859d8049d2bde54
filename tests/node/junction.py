"""A node where links meet: the routes of `me`, with two peers and two leaves."""

from __future__ import annotations

from node.interest import Interest
from node.routes import Routes
from node.turn import LinkKey

EVERYBODY = {"p": ("A",), "q": ("A",), "l": ("A",), "m": ("A",)}


def routes_of(wanted: dict[str, tuple[str, ...]] = EVERYBODY, *, leaf: bool = False) -> Routes:
    """Node `me` with the peers p and q and the leaves l and m, who want what `wanted` says."""
    interest: Interest[LinkKey] = Interest()
    routes = Routes("me", leaf, interest)
    for name, patterns in wanted.items():
        routes.up(name, name, name in "lm")
        interest.announced(name, {name: patterns})
    return routes
