"""Wanting: what every origin was told that this node wants, and has been wanted without a break ever since.

    told v7 [A, gpu.*] ─▶ … answered v7 ─▶ wanted of those origins: A, gpu.*  ─▶ A is no longer wanted ─▶ gpu.*
                                               └── the durable consumers' part is written with the turn that changed it

An origin's stream that comes to light here either began before it was wanted, then what was before is not owed, or it
began since, then it is owed from its first event. Which of the two is told by what stands here.

A node also wants on behalf of others (its leaves, those it carries for), and forgets that when their links go. Who
comes back to it says where it stands in the streams it follows; those are `resumed`: owed from there, whatever this
node itself had wanted meanwhile.

What an origin knew counts also when it comes back after weeks, so it outlasts the member's row. Of very many origins,
those are let go that nobody speaks for and that have not answered for the longest time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import orjson

from mesh.topic import PatternSet
from node.state import State
from node.turn import LinkKey, Turn, rekey

_KEY = "wanted "
_NOTHING = PatternSet(())

ORIGINS_MAX = 4096
"""Origins of which it is kept what they know; four times as many as there can be members."""

Patterns = frozenset[str]


class _Told(NamedTuple):
    """An announcement on its way. `straight`: what of it those hear, too, whom the peer carries for this node."""

    patterns: Patterns
    straight: Patterns


class Wanting:
    """Per origin: the patterns it knows to be wanted here, as long as they are.

    `wanted_now`: all that is wanted. `ways`: the links that speak for an origin.
    """

    def __init__(
        self,
        state: State,
        wanted_now: Callable[[], Iterable[str]],
        ways: Callable[[str], Collection[LinkKey]],
        origins_max: int = ORIGINS_MAX,
    ) -> None:
        self._state = state
        self._wanted_now = wanted_now
        self._ways = ways
        self._origins_max = origins_max
        self._told: dict[LinkKey, dict[int, _Told]] = {}
        self._kept = _read(state.store.read_meta())
        durable = self._durable()
        self._wanted = {origin: PatternSet(patterns & durable) for origin, patterns in self._kept.items()}
        self._resumed: dict[LinkKey, set[tuple[str, str]]] = {}
        self._kept_for: Patterns | None = None

    def told(self, link: LinkKey, version: int, patterns: Iterable[str], straight: Iterable[str] | None = None) -> None:
        """An announcement is on its way to a peer; `straight` is what of it goes on to whom the peer carries."""
        all_ = frozenset(patterns)
        self._told.setdefault(link, {})[version] = _Told(all_, all_ if straight is None else frozenset(straight))

    def before(self, origin: str, topic: str) -> bool:
        """Whether the origin has known until now that the topic is wanted.

        An origin that nobody here knew took the place of the former one of its name: what that one knew counts, because
        everything it has was published since.
        """
        known = self._wanted.get(origin)
        return (self._of_predecessors(origin) if known is None else known).matches(topic)

    def has_namesake(self, origin: str) -> bool:
        """Whether the origin is unknown here and another one of its name is not: it came after that one, or before."""
        return origin not in self._wanted and bool(self._of_namesakes(origin))

    def _of_namesakes(self, origin: str) -> list[PatternSet]:
        name = origin.rpartition(".")[0]
        return [patterns for each, patterns in self._wanted.items() if each.rpartition(".")[0] == name]

    def _of_predecessors(self, origin: str) -> PatternSet:
        former = self._of_namesakes(origin)
        if not former:
            return _NOTHING
        self._wanted[origin] = PatternSet(text for patterns in former for text in patterns.texts)
        self._keep_again()
        return self._wanted[origin]

    def owed(self, origin: str, topic: str) -> bool:
        """Whether what follows in a stream that is known here is owed to somebody."""
        return self.before(origin, topic) or self.followed(origin, topic)

    def followed(self, origin: str, topic: str) -> bool:
        """Whether somebody stands in a stream that is known here: a neighbour that came back, or a consumer."""
        resumed = any((origin, topic) in streams for streams in self._resumed.values())
        return resumed or self._state.owed(origin, topic)

    def resume(self, link: LinkKey, origin: str, topic: str) -> None:
        """The far end of a link follows the stream through this node."""
        self._resumed.setdefault(link, set()).add((origin, topic))

    def answered(
        self, link: LinkKey, origins: Iterable[str], version: int, detoured: Collection[str], turn: Turn
    ) -> None:
        """A peer has taken in an announcement, and with it all earlier ones; so have the origins it speaks for.

        Those that are `detoured` were told no more than what goes straight to the peer. It counts from this turn on,
        and no longer if that fails.
        """
        on_their_way = self._told.get(link, {})
        told = on_their_way.get(version)
        if told is None:
            return
        wanted_now = frozenset(self._wanted_now())
        patterns, straight = told.patterns & wanted_now, told.straight & wanted_now
        made: dict[tuple[Patterns, tuple[str, ...]], PatternSet] = {}  # a leaf is answered for all, who know the same
        before: dict[str, PatternSet | None] = {}
        for origin in origins:
            now, known = straight if origin in detoured else patterns, self._wanted.pop(origin, None)
            texts = _NOTHING.texts if known is None else known.texts
            if (now, texts) not in made:
                made[now, texts] = PatternSet(now.union(texts))
            before[origin], self._wanted[origin] = known, made[now, texts]
        earlier = {each: on_their_way.pop(each) for each in list(on_their_way) if each < version}
        self._let_go()
        self._keep_again()
        turn.once_failed += [lambda: self._back_to(before), lambda: on_their_way.update(earlier)]

    def _let_go(self) -> None:
        """Of too many origins, forget who answered the longest time ago: first those that nobody speaks for now."""
        too_many = len(self._wanted) - self._origins_max
        if too_many > 0:
            silent = [origin for origin in self._wanted if not self._ways(origin)]
            for origin in list(dict.fromkeys((*silent, *self._wanted)))[:too_many]:
                del self._wanted[origin]

    def _back_to(self, before: Mapping[str, PatternSet | None]) -> None:
        """The turn that counted an answer failed, and with it the beginnings that came with the answer.

        An origin that nobody knew before is as unknown as it was: its predecessor counts for it, still.
        """
        for origin, patterns in before.items():
            if patterns is None:
                self._wanted.pop(origin, None)
            elif origin in self._wanted:
                self._wanted[origin] = PatternSet(frozenset(self._wanted[origin].texts).intersection(patterns.texts))

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._told, old, new)
        rekey(self._resumed, old, new)

    def forget(self, link: LinkKey) -> None:
        """The link is down: no answer will come. What stood before goes on standing."""
        self._told.pop(link, None)
        self._resumed.pop(link, None)

    def shrink(self) -> None:
        """Interest has changed: what is not wanted any more has a break, also if it is wanted again later."""
        now = frozenset(self._wanted_now())
        for origin, patterns in self._wanted.items():
            if not now.issuperset(patterns.texts):
                self._wanted[origin] = PatternSet(now.intersection(patterns.texts))
                self._keep_again()

    def keep(self, turn: Turn) -> None:
        """Put the durable consumers' part into the transaction when it has changed.

        That of a consumer which this turn makes durable, too: who was told that it is registered is owed everything
        from then on, also by a node that is killed the moment after.
        """
        becoming = frozenset(books.pattern for books in turn.changes.books.values() if books.durable)
        if self._kept_for is not None and self._kept_for.issuperset(becoming):
            return
        self._kept_for = durable = self._durable() | becoming
        turn.once_failed.append(self._keep_again)
        for origin, patterns in self._wanted.items():
            if durable.intersection(patterns.texts) != self._kept.get(origin, frozenset()):
                self._keep(origin, durable.intersection(patterns.texts), turn)
        gone = self._kept.keys() - self._wanted.keys()
        if gone:
            turn.changes.meta_forgotten += [(_KEY + origin,) for origin in sorted(gone)]
            turn.once_committed.append(lambda: self._forgotten(gone))

    def _forgotten(self, origins: Collection[str]) -> None:
        """The disk says nothing of these any more."""
        for origin in origins:
            self._kept.pop(origin, None)

    def _keep_again(self) -> None:
        """What is on disk may differ from what holds: the next turn compares them."""
        self._kept_for = None

    def _keep(self, origin: str, patterns: Patterns, turn: Turn) -> None:
        turn.changes.meta[_KEY + origin] = orjson.dumps(sorted(patterns)).decode()
        turn.once_committed.append(lambda: self._kept.update({origin: patterns}))

    def _durable(self) -> Patterns:
        consumers = self._state.consumers.values()
        durable = (each.pattern.text for one in consumers for each in one.followings if each.durable)
        return frozenset((*durable, *self._state.replicated.texts))


def _read(meta: dict[str, str]) -> dict[str, Patterns]:
    rows = {key.removeprefix(_KEY): value for key, value in meta.items() if key.startswith(_KEY)}
    return {origin: frozenset(orjson.loads(value)) for origin, value in rows.items()}
