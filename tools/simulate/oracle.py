"""The oracle: statements that must be true once everything has been healed and has come to rest.

    delivered     every receipted event reaches every consumer that was owed it, in order per stream, and none is lost
    once          no handler is called twice for an event, except after its program or its attachment ended
    sequences     no id is ever given to two contents (also checked as it happens, in the ledger)
    books         `node.audit` balances at every node
    links         two peers have exactly one link, a leaf as many as it should, and everybody sees everybody
    interest      what a node believes its peers want is what their consumers want (`tools.simulate.wishes`)
    sizes         nothing that a node keeps in memory grows while nothing happens
    undisturbed   without faults an event goes the shortest way (`tools.simulate.crossings`)
    forgotten     who is gone is forgotten by everybody, and nobody who comes back brings it back

Each raises `Violated` with what it is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import orjson

from mesh.frame import decode
from mesh.records import records
from mesh.topic import check_pattern
from node.audit import audit, consumer_balance, letter_counts
from node.dialling import LEAF_LINKS
from node.peer_rows import peer_rows
from tools.simulate.actors import Consumer
from tools.simulate.crossings import Crossings
from tools.simulate.ledger import Id, Ledger, Publication, Violated, Wanted
from tools.simulate.machine import Machine
from tools.simulate.network import Network
from tools.simulate.sizes import sizes_of
from tools.simulate.wishes import Wishes

Sizes = dict[tuple[str, str], int]
"""(machine, place) → how many"""


class Oracle:
    """Judges one simulation."""

    def __init__(
        self,
        machines: Mapping[str, Machine],
        consumers: Mapping[str, Consumer],
        ledger: Ledger,
        network: Network,
    ) -> None:
        self._machines = machines
        self._consumers = consumers
        self._ledger = ledger
        self._network = network
        self._crossings = Crossings(network)
        self._wishes = Wishes(machines, ledger, network)

    def watch(self) -> None:
        """Note from now on which event crosses which link, and who brought it first."""
        self._crossings.watch()

    # ── when all has come to rest ────────────────────────────────────────────────────────────────────────────────────

    def at_rest(self) -> bool:
        """Whether nothing is missing any more, so that more time would change nothing.

        What nobody has any more (an older copy of its origin's database came back) is missing until a node takes it for
        lost, a minute after it heard of it; whoever hears of it from there begins to wait only then.
        """
        try:
            self._links()
            self._books()
            self._quiet()
        except Violated:
            return False
        whole = not any(machine.node.state.relay.gaps for machine in self._machines.values())
        return whole and next(self._missing(), None) is None and all(each.at_rest for each in self._network.diallings)

    def settled(self, undisturbed: bool) -> None:
        """Every statement about a mesh that has come to rest."""
        self._links()
        self._logs()
        self._books()
        self._delivered()
        self._once()
        self._wishes.hold()
        if undisturbed:
            self._crossings.once()

    def _delivered(self) -> None:
        for wanted, publication in self._missing():
            text = "/".join(map(str, publication.id))
            raise Violated(
                "what is receipted is delivered",
                f"{text} (event {publication.number}, published at {publication.published_us / 1e6:.3f} s) "
                f"was owed to {wanted.name} since {wanted.since[publication.machine] / 1e6:.3f} s and never came",
                text,
                wanted.name,
            )
        self._quiet()

    def _missing(self) -> Iterator[tuple[Wanted, Publication]]:
        """Events that were owed to a consumer and did not reach it."""
        for wanted in self._ledger.consumers.values():
            if not wanted.gone:
                had = {call.number for call in wanted.calls}
                yield from ((wanted, each) for each in self._owed(wanted) if each.number not in had)

    def _owed(self, wanted: Wanted) -> Iterator[Publication]:
        pattern = check_pattern(wanted.pattern)
        for publication in self._ledger.publications:
            since_us = wanted.since.get(publication.machine)
            if since_us is None or publication.published_us < since_us or publication.receipted_us is None:
                continue
            if pattern.matches(publication.topic) and publication.id[0] not in self._ledger.lost_origins:
                yield publication

    def _quiet(self) -> None:
        """Every consumer is registered, has nothing left to do, and its node knows."""
        for consumer in self._consumers.values():
            name = consumer.wanted.name
            if not consumer.registered or not consumer.course.quiet or consumer.course.following.behind:
                raise Violated("consumers come to rest", f"{name} does not", name)
            state = consumer.machine.node.state
            row = consumer_balance(state, state.consumers[name], letter_counts(state))
            if row["waiting"] or row["in_flight"]:
                raise Violated("consumers come to rest", f"{row}", name)

    def _once(self) -> None:
        for wanted in self._ledger.consumers.values():
            seen: dict[Id, tuple[int, int]] = {}
            heads: dict[tuple[str, str], tuple[tuple[int, int], int]] = {}
            for call in wanted.calls:
                text = "/".join(map(str, call.id))
                if call.attempt > 1:
                    continue
                if seen.get(call.id) == call.attachment:
                    raise Violated("a handler is called once", f"{wanted.name} had {text} twice", text, wanted.name)
                seen[call.id] = call.attachment
                attachment, head = heads.get(call.id[:2], (call.attachment, 0))
                if attachment == call.attachment and call.id[2] <= head:
                    raise Violated("streams keep their order", f"{wanted.name}: {text} after {head}", text, wanted.name)
                heads[call.id[:2]] = (call.attachment, call.id[2])

    def _logs(self) -> None:
        """What the logs hold is what was published under these ids."""
        for machine in self._machines.values():
            for row in machine.node.state.log.rows_since(0):
                frame = decode(row.frame)
                for index, record in enumerate(records(frame)):
                    number = orjson.loads(record.body).get("n")
                    if number is not None:
                        self._ledger.named((frame.origin, frame.topic, frame.sequence + index), number)

    def _books(self) -> None:
        for name, machine in self._machines.items():
            books = audit(machine.node.state)
            wrong = [row for row in (*books["streams"], *books["consumers"]) if not row["balanced"]]
            if wrong:
                raise Violated("the books balance", f"{name}: {wrong[0]}", name)

    def _links(self) -> None:
        """Two peers have one link, a leaf has its few, and everybody sees everybody alive."""
        peers = {name for name, machine in self._machines.items() if not machine.hidden}
        for name, machine in self._machines.items():
            up = Counter(link.name for link in machine.node.links.links.values() if link.state == "up")
            double = {other: count for other, count in up.items() if count > 1}
            if double:
                raise Violated("two nodes have one link", f"{name}: {double}", name, *double)
            few = min(LEAF_LINKS, len(peers))
            out_of_reach = {other for other in peers if self._network.walled(name, other)}
            missing = peers - {name} - out_of_reach - set(up) if name in peers else set()
            if missing or (name not in peers and len(up) < few):
                raise Violated("peers are linked, and leaves with enough", f"{name} is linked with {set(up)}", name)
        self._views()

    def _views(self) -> None:
        for name, machine in self._machines.items():
            rows = {row["name"]: row["state"] for row in peer_rows(machine.node, machine.now())}
            said = {other: rows.get(other, "unknown") for other in self._machines if other != name}
            linked = {link.name for link in machine.node.links.links.values() if link.state == "up"}
            wrong = {
                other: state for other, state in said.items() if state != ("alive" if other in linked else "known")
            }
            if wrong:
                raise Violated("everybody sees everybody", f"{name} sees {wrong}", name, *wrong)

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def sizes(self) -> Sizes:
        """How much each node keeps in memory, by where it keeps it."""
        return {(name, place): size for name, m in self._machines.items() for place, size in sizes_of(m.node).items()}

    def nothing_grew(self, before: list[Sizes], after: list[Sizes]) -> None:
        """While nothing is published: what is always more afterwards than it ever was before has grown.

        Whom a node can never reach it goes on dialling now and then, and lets go of again.
        """
        for (name, place), size in after[-1].items():
            most = max(each.get((name, place), 0) for each in before)
            least = min(each.get((name, place), 0) for each in after)
            if least > most and least > most + len(self._wishes.walled_from(name)):
                raise Violated("nothing grows while nothing happens", f"{name}: {place} from {most} to {size}", name)

    def nobody_wants(self, forwarded: int) -> None:
        """After the last unsubscribe nothing is forwarded."""
        self._wishes.hold()
        more = self._network.counts["frames"] - forwarded
        if more:
            raise Violated("nothing is forwarded that nobody wants", f"{more} frames after the last unsubscribe")

    def forgotten(self, away: str) -> None:
        """Long after everybody who is gone has died: only `away`, who was not there, may remember them."""
        origins = {machine.node.state.origin for machine in self._machines.values()}
        for name, machine in self._machines.items():
            gone = machine.node.membership.members.rows.keys() - origins
            if gone and name != away:
                raise Violated("who is forgotten stays forgotten", f"{name} has {sorted(gone)} in its table", *gone)
