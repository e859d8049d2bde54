"""The assembly: a node put together out of its rules. The same for the agent, the tests and the simulation.

    store, identity ──load_state──▶ State ──assemble──▶ Node, with every verb that may be asked of it
          Plan: what an operator chose (`node.plan`)         Surroundings: what it is given to live in

The state is read before anything else exists: a database that cannot be understood must not cost a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mesh.marks import Mark
from node.addresses import advertised
from node.announcements import Announcer
from node.clock import Now
from node.core import Node
from node.identity import Identity
from node.interfaces import Interface
from node.letters import Letters
from node.link import Identity as Greeting
from node.links import Links
from node.membership import Membership
from node.operators import Operators
from node.plan import Plan
from node.retention import Retention
from node.sessions import Sessions
from node.state import State
from node.store import Store
from node.suspicion import knobs


class Surroundings(NamedTuple):
    """What a node is given to live in.

    `listen` and `endpoints` are where peers and programs reach it, `take_marks` reads what a program that died was at,
    `announcer` is the random publisher id of the node's own events. `incarnation` counts the starts of this database,
    `life` is a random text that is new with every start, `began_us` the moment at which the process began, on the
    monotonic clock (None: now). `interfaces` are those of the machine, for a node that listens at all of them.
    """

    version: str
    listen: str
    endpoints: Mapping[str, str]
    take_marks: Callable[[bytes], list[Mark]]
    announcer: bytes
    incarnation: int = 1
    life: str = ""
    began_us: int | None = None
    interfaces: tuple[Interface, ...] = ()


def load_state(store: Store, me: Identity, plan: Plan, draw: Callable[[], float], now: Now) -> State:
    """What the node's store holds. `draw` yields numbers in [0, 1) for the jitter of retries. Raises `StoreError`."""
    state = State(me.name, me.generation, store, plan.dedup_window_us, plan.dedup_keep_us, draw, plan.dedup_events)
    state.load(now)
    state.tables.members()  # read when the node is assembled; damage there shows here, before anything is written
    return state


def assemble(state: State, plan: Plan, around: Surroundings, now: Now) -> Node:
    """The rules around a loaded state, joined into a node that can take turns; it begins `now`."""
    greeting = Greeting(
        state.name,
        state.origin,
        around.version,
        around.listen,
        plan.role,
        around.incarnation,
        addresses=advertised(around.listen, plan.advertise, around.interfaces),
        life=around.life,
    )
    state.replicate(plan.replicate)
    began_us = now.mono_us if around.began_us is None else around.began_us
    links = Links(greeting, plan.heartbeat_s, plan.dead_after_s, began_us)
    links.dial(plan.peers)
    membership = Membership(state, links, knobs(plan.heartbeat_s, plan.dead_after_s), plan.peers, state.draw)
    membership.load(state.tables.members(), now.mono_us)
    letters = Letters(state)
    sessions = Sessions(state, letters, links.up, around.endpoints, around.take_marks, plan.critical)
    retention = Retention(state, plan.limits, sessions.attached)
    node = Node(state, links, membership, letters, sessions, retention, Announcer(around.announcer))
    node.verbs.update(Operators(node, around.version, now.wall_us).verbs)
    return node
