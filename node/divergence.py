"""Divergence: whether peers have other events under this node's own sequences, and from where on. Rules only.

    before:        b 1 ── 20 │ 21 ───── 40      c has them all
    set back:      b 1 ── 20 │ 21' ── 30'       in the dark, or longer than before: 21' ── 60'

    c ──known: "your T stands at 40", of publisher p its event 7──▶ b    b has no 40, or another one: a doubt
    c ◀── asked: "mine are 30', 29', 27', 23', 15 …" ────────────── b
    c ──answers: another, another, another, another, the same ────▶ b    16 and what follows is given out anew

A head alone does not show it: the node that was set back may have given out more since than it had before. An event is
told from another by its publisher and that one's number, which every log row has. What was asked stands twice as far
back each time, so of what both have no more than once again as much is taken for another's.

Peers of an older release say their heads and are asked nothing. Where nobody can answer, or not in time, what this
process has given out is taken for another's; what an earlier one has given out in the dark is not found then.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from node.link import Link
from node.log_reader import EventAt
from node.state import State
from node.store import StoreError
from node.streams import Stream
from node.turn import LinkKey, Turn, rekey

HEADS_MAX = 2000
"""Streams of a peer's own origin of which it is told how far they are known here, when it is linked."""
_ASKED_MAX = 1000
_BACK_MAX = 24
_ANSWER_S = 2.0
_UNKNOWN, _SAME, _ANOTHER = range(3)

Fields = dict[str, Any]


class Divergence:
    """What is known of it. `outdated`: why this generation must not go on, or "".

    `since`: the position in the log from which on its events may be others elsewhere, once it is outdated.
    """

    def __init__(self, state: State) -> None:
        self.outdated = ""
        self.since = state.next_position
        self._state = state
        self._doubt = ""
        self._until_us = 0
        self._able: dict[LinkKey, None] = {}
        self._asked: dict[LinkKey, list[int]] = {}
        self._same: set[int] = set()
        self._another: set[int] = set()

    # ── what peers are told of their own streams ─────────────────────────────────────────────────────────────────────

    def known(self, origin: str) -> Fields | None:
        """How far a peer's own streams are known here, and which events their heads are."""
        streams = self._streams(origin)
        if not streams:
            return None
        message: Fields = {"t": "known", "heads": [(each.topic, each.head) for each in streams]}
        try:
            found = self._state.log.events_at((each.id, each.head) for each in streams)
        except StoreError:  # the heads can be told without it
            return message
        events = [found.get((each.id, each.head)) for each in streams]
        return {**message, "events": [each and (each.publisher, each.number) for each in events]}

    def _answers(self, origin: str, asked: list[Any]) -> list[int]:
        """Of events that an origin has, whether they are the same here."""
        streams, known = self._state.relay.streams, dict[int, tuple[int, int]]()
        for index, (topic, sequence, _, _) in enumerate(asked):
            stream = streams.get((origin, str(topic)))
            if stream is not None and int(sequence) <= stream.head:
                known[index] = stream.id, int(sequence)
        found, answers = self._state.log.events_at(known.values()), [_UNKNOWN] * len(asked)
        for index, place in known.items():
            event = found.get(place)
            if event is not None:
                answers[index] = _SAME if (event.publisher, event.number) == tuple(asked[index][2:]) else _ANOTHER
        return answers

    def _streams(self, origin: str) -> list[Stream]:
        return [each for each in self._state.relay.by_id.values() if each.origin == origin][:HEADS_MAX]

    # ── what they say ────────────────────────────────────────────────────────────────────────────────────────────────

    def heed(self, link: Link, fields: Fields, turn: Turn) -> None:
        """A peer says what it knows of this node's streams, or asks or answers which events are the same."""
        if "asked" in fields:
            answers = self._answers(link.origin, fields["asked"][:_ASKED_MAX])
            turn.control(link.key, {"t": "known", "heads": [], "answers": answers})
        elif "answers" in fields:
            self._answered(link.key, fields["answers"])
        else:
            events = fields.get("events")
            if events is not None:
                self._able[link.key] = None
            doubt = self._compare(link.name, fields["heads"][:HEADS_MAX], events or [])
            if doubt:
                self.suspect(doubt, turn)

    def _compare(self, name: str, heads: list[Any], events: list[Any]) -> str:
        """Why a peer knows better, or "": it has further events than this node itself, or others."""
        origin, streams, said = self._state.origin, self._state.relay.streams, dict[tuple[int, int], Any]()
        for (topic, head), event in zip_longest(heads, events[: len(heads)]):
            stream = streams.get((origin, str(topic)))
            last = stream.head if stream is not None else 0
            if int(head) > last:
                return f"{name} has event {int(head)} of {str(topic)!r} from this node, whose own last is {last}"
            if stream is not None and event is not None:
                said[stream.id, int(head)] = event
        for (id_, head), event in self._state.log.events_at(said).items():
            if (event.publisher, event.number) != tuple(said[id_, head]):
                self._another.add(event.position)
                return f"{name} has another event {head} of {self._state.relay.by_id[id_].topic!r} from this node"
        return ""

    # ── a doubt ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def suspect(self, doubt: str, turn: Turn) -> None:
        """This generation must not go on; ask those who can tell from where on."""
        if self._doubt:
            return
        self._doubt, self._until_us = doubt, turn.now.later(_ANSWER_S)
        events = self._events_of_mine() if self._able else []
        for key in self._able:
            self._asked[key] = [event.position for _, _, event in events]
            asked = [(topic, sequence, event.publisher, event.number) for topic, sequence, event in events]
            turn.control(key, {"t": "known", "heads": [], "asked": asked})
        self.tick(turn)

    def _events_of_mine(self) -> list[tuple[str, int, EventAt]]:
        """topic, sequence and event of what is asked about: of every stream, ever further back."""
        streams = self._streams(self._state.origin)
        steps = min(_BACK_MAX, max(1, _ASKED_MAX // max(1, len(streams))))
        back = [(1 << step) - 1 for step in range(steps)]
        places = {
            (each.id, each.head - by): each.topic for each in streams for by in back if each.head - by > each.base
        }
        found = self._state.log.events_at(list(places)[:_ASKED_MAX])
        return [(places[place], place[1], event) for place, event in found.items()]

    def _answered(self, key: LinkKey, answers: list[Any]) -> None:
        for position, answer in zip(self._asked.pop(key, []), answers, strict=False):
            if answer == _SAME:
                self._same.add(position)
            elif answer == _ANOTHER:
                self._another.add(position)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._able, old, new)
        rekey(self._asked, old, new)

    def down(self, key: LinkKey) -> None:
        """The link is down: no answer will come."""
        self._able.pop(key, None)
        self._asked.pop(key, None)

    def tick(self, turn: Turn) -> None:
        """When everybody has answered, or in time nobody, the doubt is certain."""
        if not self._doubt or self.outdated or (self._asked and turn.now.mono_us < self._until_us):
            return
        another = min(self._another, default=None)
        same = [each for each in self._same if another is None or each < another]
        self.since = max(same) + 1 if same else min(self.since, another or self.since)
        self.outdated = self._doubt
