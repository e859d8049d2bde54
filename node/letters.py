"""Letters: failed events on their way back to the one consumer that failed them.

    waiting, due ──▶ out (at most 64 per consumer) ──outcome──▶ ended, waiting again, or dead
       ▲                 │ the subscription went away, or no outcome within its time
       └─────────────────┘

When a letter falls due is on disk as a time of day, since it must outlive the process. A clock that is set back must
not hold it up: whatever is due later than the longest backoff from now is from before that, and due at once. So no
setting of the clock delays an attempt by more than its consumer's longest backoff.

Where a letter stands is on disk, too; that it is out at somebody is only known here, so a crash of either side just
makes it due again. An operator may ask for another attempt or for the end of a letter, but not while it is out:
pressing twice, or two operators pressing at once, runs the handler once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from node.delivery import Attachment, Consumer
from node.letter_reader import Letter, damage
from node.state import State
from node.turn import Turn

_log = logging.getLogger(__name__)

OUT_MAX = 64
"""Letters out at one consumer at a time: enough to keep it busy, few enough to be given back when it dies."""
LOOK_MAX = 10_000
"""Letters looked at for those that can go out: nobody may follow the topics of the most overdue ones any more."""
LONGEST_US_MAX = 1 << 60
"""Longer backoffs are as good as for ever; it keeps the sum with a moment an integer of the database."""
GRACE_S = 30.0
"""Beyond the handler's own time. An outcome that has not come by then is lost, and the letter goes out again."""


@dataclass(slots=True)
class _Out:
    """A letter that was given to a subscription and has no outcome yet."""

    attachment: Attachment
    consumer: str
    deadline_us: int


class Letters:
    """Which letters are out, and what operators ask of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._out: dict[int, _Out] = {}

    def redeliver(self, turn: Turn) -> None:
        """Send every letter that is due to a subscription of its consumer, if one is attached."""
        for id_ in [id_ for id_, out in self._out.items() if turn.now.mono_us >= out.deadline_us]:
            self.ended(id_)
        for name, consumer in self._state.consumers.items():
            due_us, now_us = consumer.next_due_us, turn.now.wall_us
            if due_us is not None and consumer.attached and not now_us < due_us <= now_us + _longest_us(consumer):
                self._send_due(name, consumer, turn)

    def next_due_us(self) -> int | None:
        """When the next letter of an attached consumer falls due (wall time), or None."""
        due = [each.next_due_us for each in self._state.consumers.values() if each.attached]
        return min((each for each in due if each is not None), default=None)

    def _send_due(self, name: str, consumer: Consumer, turn: Turn) -> None:
        """Send what is due, as the disk has it: not what this turn has ended or made something else of."""
        room = OUT_MAX - sum(1 for each in self._out.values() if each.consumer == name)
        now_us, latest_us = turn.now.wall_us, turn.now.wall_us + _longest_us(consumer)
        decided = turn.changes.letters_decided()
        for letter in self._state.letters.due(name, now_us, latest_us, LOOK_MAX) if room > 0 else ():
            attachment = consumer.attachment(letter.topic)
            if letter.id in self._out or letter.id in decided:
                continue
            if wrong := damage(letter):
                self._give_up(letter, wrong, turn)
            elif attachment is not None:
                room -= 1
                self._send(letter, attachment, consumer, turn)
                if not room:
                    break
        consumer.next_due_us = self._state.letters.next_due_us(name, now_us, latest_us)
        if decided:
            turn.once_committed.append(lambda: self._send_due_now(consumer))

    def _send(self, letter: Letter, attachment: Attachment, consumer: Consumer, turn: Turn) -> None:
        session, sub = attachment
        timeout_s = max(each.timeout_s for each in consumer.followings) + GRACE_S
        self._out[letter.id] = _Out(attachment, letter.consumer, turn.now.later(timeout_s))
        turn.once_failed.append(lambda: self.ended(letter.id))
        message = {"t": "redeliver", "sub": sub, "letter": letter.id, "attempt": letter.attempts + 1}
        turn.direct(session, message, [letter.frame])

    def _give_up(self, letter: Letter, wrong: str, turn: Turn) -> None:
        """What the letter holds is no longer the event that failed: it is dead, for an operator to look at."""
        _log.error("letter %d is damaged and will not be delivered: %s", letter.id, wrong)
        error = f"the event kept in this letter is damaged: {wrong}"
        again = ("dead", letter.attempts, letter.kind, "DamagedLetter", error, letter.traceback, turn.now.wall_us, None)
        turn.changes.letters_again.append((*again, letter.id))

    def ended(self, id_: int) -> None:
        """A letter is no longer out: the store says what it is now."""
        out = self._out.pop(id_, None)
        if out is not None:
            self._state.consumers[out.consumer].next_due_us = 0

    def give_back(self, attachment: Attachment) -> None:
        """A subscription is gone; what it had not finished is due again."""
        for id_ in [id_ for id_, out in self._out.items() if out.attachment == attachment]:
            self.ended(id_)

    # ── what operators ask ───────────────────────────────────────────────────────────────────────────────────────────

    def objection_to_retry(self, letter: Letter, turn: Turn) -> str:
        """Why the letter cannot be tried again now, or ""."""
        consumer = self._state.consumers.get(letter.consumer)
        due = letter.next_attempt_us is not None and letter.next_attempt_us <= turn.now.wall_us
        if consumer is None or consumer.attachment(letter.topic) is None:
            return f"no consumer {letter.consumer!r} is attached to this node; start its program, then retry"
        if letter.id in self._out or due or any(letter.id == id_ for _, id_ in turn.changes.letters_retried):
            return f"letter {letter.id} is being tried at this moment; look again when it has ended"
        return ""

    def retry(self, letter: Letter, actor: str, turn: Turn) -> None:
        """Make the letter due now, once."""
        turn.changes.letters_retried.append((turn.now.wall_us, letter.id))
        self._note(letter, actor, "retry", turn)
        consumer = self._state.consumers[letter.consumer]
        turn.once_committed.append(lambda: self._send_due_now(consumer))

    def _send_due_now(self, consumer: Consumer) -> None:
        consumer.next_due_us = 0

    def objection_to_discard(self, letter: Letter, turn: Turn) -> str:
        """Why the letter cannot be ended now, or ""."""
        if letter.id in self._out or (letter.id,) in turn.changes.letters_ended:
            return f"letter {letter.id} is being tried at this moment; look again when it has ended"
        return ""

    def discard(self, letter: Letter, actor: str, turn: Turn) -> None:
        """End the letter without its handler; the books count it as expired."""
        turn.changes.letters_ended.append((letter.id,))
        books = self._state.books(letter.consumer, turn)
        turn.changes.books[letter.consumer] = books._replace(expired=books.expired + 1)
        self._note(letter, actor, "discard", turn)

    def _note(self, letter: Letter, actor: str, action: str, turn: Turn) -> None:
        detail = f"{letter.consumer} {letter.origin}/{letter.topic}/{letter.sequence} after {letter.attempts} attempts"
        turn.changes.actions.append((turn.now.wall_us, actor, action, letter.id, detail))


def _longest_us(consumer: Consumer) -> int:
    """The longest backoff that any of a consumer's programs allows, in microseconds."""
    return min(int(max(each.policy.cap_s for each in consumer.followings) * 1e6), LONGEST_US_MAX)
