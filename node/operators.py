"""What an operator may ask a node, and the answers the CLI prints: reads of the state, and acts on letters.

    status · peers · consumers · audit
    dlq.summary · dlq.list · dlq.show · dlq.errors · dlq.retry · dlq.discard
    log.stats · log.tail · log.show
    wiring.view

Every act on a letter is written down with who did it. A retry asks for one more attempt of exactly the consumer that
failed; see `node.letters` for when it is refused.
"""

from __future__ import annotations

from typing import Any

from mesh.event import EventId
from mesh.limits import REPLAY_BYTES_MAX
from mesh.topic import check_pattern
from node.audit import audit
from node.core import Node
from node.letter_reader import Letter, LetterFilter
from node.log_pages import event_rows, page_after, page_before, readable, start_of
from node.peer_rows import peer_rows
from node.status import Row, consumer_rows, dlq_summary, status
from node.turn import Request, Turn, Verb
from node.wiring_view import wiring_row

LIST_MAX = 1000
"""Rows in one answer at most; who wants more asks again from where it ended."""


class Operators:
    """The operators' verbs of one node. `version` is the release, `started_us` when the node began."""

    def __init__(self, node: Node, version: str, started_us: int) -> None:
        self._node = node
        self._state = node.state
        self._version = version
        self._started_us = started_us
        self.verbs: dict[str, Verb] = {
            "status": self._status,
            "peers": self._peers,
            "consumers": self._consumers,
            "consumers.forget": self._forget_consumer,
            "audit": self._audit,
            "dlq.summary": self._summary,
            "dlq.list": self._list,
            "dlq.show": self._show,
            "dlq.errors": self._errors,
            "dlq.retry": self._retry,
            "dlq.discard": self._discard,
            "log.stats": self._log_stats,
            "log.tail": self._log_tail,
            "log.show": self._log_show,
            "wiring.view": self._wiring_view,
        }

    def _status(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, status(self._node, self._version, self._started_us, turn.now))

    def _peers(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, {"node": self._state.name, "rows": peer_rows(self._node, turn.now)})

    def _consumers(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, {"rows": consumer_rows(self._state, turn.now)})

    def _forget_consumer(self, request: Request, _: list[bytes], turn: Turn) -> None:
        """End a consumer for good: its cursors, its interest, its books. Not while it is attached or has letters."""
        name = str(request.fields["consumer"])
        consumer = self._state.consumers.get(name)
        if consumer is None:
            turn.refuse(request, "no such consumer", f"there is no consumer {name!r}; see `mesh consumers`")
        elif consumer.attached:
            turn.refuse(request, "held", f"consumer {name!r} is attached; stop its program first")
        elif self._has_letters(name, turn):
            turn.refuse(
                request, "letters", f"consumer {name!r} has letters; `mesh dlq discard --all --consumer {name}`"
            )
        else:
            turn.changes.consumers_forgotten.append((name,))
            turn.once_committed.append(lambda: self._state.forget_consumer(name))
            turn.reply(request, {})

    def _has_letters(self, consumer: str, turn: Turn) -> bool:
        """Whether it has any on the disk, or gets one in this turn: by a program's last report, or by its death."""
        written = any(letter.consumer == consumer for letter in turn.changes.letters)
        return written or bool(self._state.letters.some(LetterFilter(consumer=consumer), 1))

    def _audit(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, audit(self._state))

    # ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _summary(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, dlq_summary(self._state, turn.now))

    def _list(self, request: Request, _: list[bytes], turn: Turn) -> None:
        """As many letters as one answer holds; ask again `after` the last for more. `payloads`: False omits them."""
        wanted, rows, room = bool(request.fields.get("payloads", True)), [], REPLAY_BYTES_MAX
        for letter in self._chosen(request, turn, {}):
            rows.append({**self._row(letter), "payload": readable(letter.payload) if wanted else None})
            room -= len(letter.payload) if wanted else 0
            if room <= 0:
                break
        turn.reply(request, {"rows": rows})

    def _show(self, request: Request, _: list[bytes], turn: Turn) -> None:
        letter = self._state.letters.one(int(request.fields["letter"]))
        if letter is None:
            turn.refuse(
                request,
                "no such letter",
                f"there is no letter {request.fields['letter']} at this node; see `mesh dlq list`",
            )
            return
        details = {
            "kind": letter.kind,
            "traceback": letter.traceback,
            "retries": letter.retries,
            "first_failed_at": letter.first_failed_us / 1e6,
            "last_failed_at": letter.last_failed_us / 1e6,
        }
        payload = readable(letter.payload)
        turn.reply(request, {"letter": {**self._row(letter), "payload": payload, **details}})

    def _errors(self, request: Request, _: list[bytes], turn: Turn) -> None:
        names = ("error_type", "place", "topic", "consumer", "count", "first_failed_at", "last_failed_at")
        rows = [
            dict(zip(names, (kind, _place(traceback), topic, consumer, count, first / 1e6, last / 1e6), strict=True))
            for kind, traceback, topic, consumer, count, first, last in self._state.letters.error_groups()
        ]
        turn.reply(request, {"rows": rows})

    def _retry(self, request: Request, _: list[bytes], turn: Turn) -> None:
        letters, act = self._node.letters, self._node.letters.retry
        self._act(request, turn, letters.objection_to_retry, act)

    def _discard(self, request: Request, _: list[bytes], turn: Turn) -> None:
        letters, act = self._node.letters, self._node.letters.discard
        self._act(request, turn, letters.objection_to_discard, act)

    def _act(self, request: Request, turn: Turn, objection: Any, act: Any) -> None:
        """Do it to every chosen letter that allows it; say which, after how many attempts, and why not the others."""
        actor, dry_run = str(request.fields.get("actor", "")), bool(request.fields.get("dry_run"))
        accepted: dict[int, int] = {}
        refused: list[tuple[int, str]] = []
        for letter in self._chosen(request, turn, {"limit": LIST_MAX}):
            reason = objection(letter, turn)
            if reason:
                refused.append((letter.id, reason))
            else:
                accepted[letter.id] = letter.attempts
                if not dry_run:
                    act(letter, actor, turn)
        missing = sorted(set(request.fields.get("ids") or ()) - set(accepted) - {id_ for id_, _ in refused})
        refused += [(id_, f"there is no letter {id_} at this node; it may have been resolved") for id_ in missing]
        said = {"accepted": list(accepted), "attempts": list(accepted.values())}
        turn.reply(request, {**said, "refused": refused, "dry_run": dry_run})

    def _chosen(self, request: Request, turn: Turn, defaults: Row) -> list[Letter]:
        """The letters of `ids`; or by `state`, `topic`, `consumer`, `older_than_s`, from `after`, `limit` many."""
        fields = {**defaults, **request.fields}
        if fields.get("ids") is not None:
            found = (self._state.letters.one(int(id_)) for id_ in dict.fromkeys(fields["ids"]))
            return [letter for letter in found if letter]
        age_s = fields.get("older_than_s")
        before_us = None if age_s is None else turn.now.wall_us - int(float(age_s) * 1e6)
        chosen = LetterFilter(fields.get("state"), fields.get("topic"), fields.get("consumer"), before_us)
        limit = max(0, min(int(fields.get("limit", 20)), LIST_MAX))
        return self._state.letters.some(chosen, limit, int(fields.get("after", 0)))

    def _row(self, letter: Letter) -> Row:
        due_us = letter.next_attempt_us
        return {
            "id": letter.id,
            "event_id": str(EventId(letter.origin, letter.topic, letter.sequence)),
            "topic": letter.topic,
            "consumer": letter.consumer,
            "state": letter.state,
            "attempts": letter.attempts,
            "error_type": letter.error_type,
            "error": letter.error,
            "created_at": letter.first_failed_us / 1e6,
            "next_attempt_at": None if due_us is None else due_us / 1e6,
            "node": self._state.name,
        }

    # ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _log_stats(self, request: Request, _: list[bytes], turn: Turn) -> None:
        sizes = self._state.log_sizes.streams()
        streams = [
            {"origin": each.origin, "topic": each.topic, "head": each.head, "in_log": sizes.get(each.id, (0, 0, 0))[2]}
            for each in sorted(self._state.relay.by_id.values(), key=lambda each: (each.origin, each.topic))
        ]
        turn.reply(request, {**self._state.log_sizes.size(), "streams": streams})

    def _log_tail(self, request: Request, _: list[bytes], turn: Turn) -> None:
        """The last `limit` events of a pattern `before` a position, or the first ones `after` it or `since` a time."""
        log, fields = self._state.log, request.fields
        pattern = check_pattern(str(fields.get("pattern") or "*"))
        limit = max(1, min(int(fields.get("limit", 10)), LIST_MAX))
        after = start_of(log, fields, turn.now.wall_us)
        if after is not None:
            page = page_after(log, pattern, after, limit)
        else:
            page = page_before(log, pattern, int(fields.get("before") or self._state.next_position), limit)
        turn.reply(request, {"rows": page.rows, "before": page.first, "position": page.last, "more": page.more})

    def _log_show(self, request: Request, _: list[bytes], turn: Turn) -> None:
        wanted = EventId.parse(str(request.fields["event"]))
        stream = self._state.relay.streams.get((wanted.origin, wanted.topic))
        batch = next(self._state.log.batches(stream.id, wanted.sequence, wanted.sequence), None) if stream else None
        rows = [row for row in event_rows(batch) if row["sequence"] == wanted.sequence] if batch else []
        if not rows:
            turn.refuse(request, "no such event", f"event {wanted} is not in the log of {self._state.name}")
            return
        turn.reply(request, {"event": rows[0]})

    # ── the wiring ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _wiring_view(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, {"rows": [wiring_row(self._state, self._node.sessions.wiring.required())]})


def _place(traceback: str) -> str:
    """Where it was raised: the last `File …, line …` of a traceback."""
    places = [line.strip() for line in traceback.splitlines() if line.lstrip().startswith("File ")]
    return places[-1] if places else ""
