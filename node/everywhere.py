"""Everywhere: one question put to every linked node, and the answers side by side.

    mesh ──everywhere {verb, fields, timeout_s}──▶ node ──ask──▶ peer, peer, leaf …
         ◀──{answers: {name: reply}, silent: [name]}──  ◀──answer──

Only questions: the verbs that may be asked change nothing, and each node answers as it would answer its own operator.
A question ends when all who were linked have answered, or lost their link, or at its deadline. Who is then missing is
named in `silent`. An answer that is too large for a link is refused by its sender, and that is its answer. One that
cannot be said again (JSON is read at a greater depth than it is written) is found out when it comes: at the deadline
nobody is there to blame for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from mesh.requests import pack_reply
from node.link import Heard
from node.links import Links
from node.store import StoreError
from node.turn import NONSENSE, LinkKey, Request, Turn, Verb, rekey

ASKABLE = frozenset({"status", "peers", "consumers", "audit", "dlq.summary", "dlq.errors", "log.stats", "wiring.view"})
"""What a node may be asked by way of another one."""
_ANSWER_BYTES_MAX = 1 << 20
_QUESTIONS_MAX = 64
_TIMEOUT_S, _TIMEOUT_MAX_S = 2.0, 30.0


@dataclass(slots=True)
class _Question:
    """A question under way: who asked, until when, which links have not answered (and their nodes' names)."""

    request: Request
    deadline_us: int
    waiting: dict[LinkKey, str]
    answers: dict[str, Any]
    silent: list[str]


class Everywhere:
    """The questions of one node to all others, and theirs to it. `verbs` are those of the node."""

    def __init__(self, links: Links, verbs: Mapping[str, Verb]) -> None:
        self._links = links
        self._verbs = verbs
        self._questions: dict[int, _Question] = {}
        self._last = 0

    def ask(self, request: Request, _: list[bytes], turn: Turn) -> None:
        """The request `everywhere`: put the question to all, and answer later."""
        verb, fields = str(request.fields["verb"]), dict(request.fields.get("fields") or {})
        if verb not in ASKABLE:
            turn.refuse(request, "unknown", f"{verb!r} cannot be asked everywhere; {', '.join(sorted(ASKABLE))} can")
            return
        if len(self._questions) >= _QUESTIONS_MAX:
            turn.refuse(request, "busy", f"{_QUESTIONS_MAX} questions are under way; ask again later")
            return
        timeout_s = min(max(float(request.fields.get("timeout_s", _TIMEOUT_S)), 0.0), _TIMEOUT_MAX_S)
        self._last += 1
        links = [link for link in self._links.links.values() if link.state == "up"]
        own = {self._links.me.name: self._answer(verb, fields, turn)}
        waiting = {link.key: link.name for link in links}
        self._questions[self._last] = _Question(request, turn.now.later(timeout_s), waiting, own, [])
        for link in links:
            turn.control(link.key, {"t": "ask", "id": self._last, "do": verb, "fields": fields})
        self._end(self._last, turn)

    def heed(self, heard: Heard, turn: Turn) -> None:
        """Take in what a link brings of questions and answers."""
        kind, link, message = heard
        if kind == "ask":
            reply = self._answer(str(message["do"]), dict(message["fields"]), turn)
            turn.control(link.key, {"t": "answer", "id": message["id"], "reply": reply})
        elif kind == "answer":
            self._answered(int(message["id"]), link.key, message["reply"], turn)
        elif kind == "moved":
            for question in self._questions.values():
                rekey(question.waiting, message["from"], link.key)
        elif kind == "down":
            for number in [each for each, question in self._questions.items() if link.key in question.waiting]:
                self._missing(number, link.key, turn)

    def _answered(self, number: int, key: LinkKey, reply: Any, turn: Turn) -> None:
        pack_reply(number, {"answers": {"": reply}})  # raises where it cannot be said again
        question = self._questions.get(number)
        if question is not None and key in question.waiting:
            question.answers[question.waiting.pop(key)] = reply
            self._end(number, turn)

    def _missing(self, number: int, key: LinkKey, turn: Turn) -> None:
        """The link is gone: its node will not answer, and is named among the silent."""
        question = self._questions[number]
        question.silent.append(question.waiting.pop(key))
        self._end(number, turn)

    def tick(self, turn: Turn) -> None:
        """Answer the questions whose time is up."""
        for number in [each for each, question in self._questions.items() if question.deadline_us <= turn.now.mono_us]:
            self._end(number, turn, late=True)

    def _end(self, number: int, turn: Turn, late: bool = False) -> None:
        question = self._questions[number]
        if question.waiting and not late:
            return
        del self._questions[number]
        silent = sorted([*question.silent, *question.waiting.values()])
        turn.reply(question.request, {"answers": question.answers, "silent": silent})

    def _answer(self, verb: str, fields: dict[str, Any], turn: Turn) -> Any:
        """This node's own answer, as its operator would get it."""
        aside = Turn(turn.now)
        asked = Request(b"", {**fields, "id": 0, "do": verb})
        known = self._verbs.get(verb) if verb in ASKABLE else None
        try:
            if known is None:
                aside.refuse(asked, "unknown", f"this node does not know {verb!r}; is it older than the asker?")
            else:
                known(asked, [], aside)
        except StoreError as error:
            aside.refuse(asked, "disk", str(error))
        except NONSENSE as error:
            aside.refuse(asked, "malformed", f"request {verb!r} is malformed: {type(error).__name__} {error}")
        return _bounded(aside)


def _bounded(turn: Turn) -> Any:
    """The only reply of a turn, unless it is too large."""
    ((_, parts),) = turn.replies
    if len(parts[0]) > _ANSWER_BYTES_MAX:
        size = f"{len(parts[0])} bytes, at most {_ANSWER_BYTES_MAX} are sent"
        return {"ok": False, "code": "large", "message": f"the answer has {size}; ask that node itself"}
    return {key: value for key, value in orjson.loads(parts[0]).items() if key != "id"}
