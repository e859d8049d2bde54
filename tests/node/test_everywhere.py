"""One question to all linked nodes: whole nodes over a wire in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.requests import Json
from node.turn import CONTROL, Turn
from tests.node.wire import Wire
from tests.node.workbench import Bench, answer, control


class Three:
    """Node `a`, linked with `b` and `c`."""

    def __init__(self, path: Path) -> None:
        self.a, self.b, self.c = (Bench(path, name) for name in "abc")
        self.wire = Wire(self.a, self.b, self.c)
        self.to_b, self.to_c = (self.wire.dial("a", f"tcp://{name}") for name in "bc")
        self.wire.settle()

    def ask(self, **fields: object) -> Turn:
        turn = self.a.turn(requests=[self.a.request("everywhere", **fields)])
        self.wire.send(self.a, turn)
        return turn

    def reply(self) -> Json:
        """Let the peers answer; the reply, which comes with the last answer."""
        replies: list[Turn] = []
        while not replies and self.wire.under_way:
            for each in self.wire.connections:
                self.wire.deliver(each, to_acceptor=True)
                while each.to_dialler:
                    turn = self.a.turn(links=[(each.address, each.to_dialler.popleft())])
                    self.wire.send(self.a, turn)
                    replies += [turn] if turn.replies else []
        return answer(replies[0])


@pytest.fixture
def three(tmp_path: Path) -> Three:
    return Three(tmp_path)


def test_every_linked_node_answers_as_it_would_answer_its_own_operator(three: Three) -> None:
    assert three.ask(verb="peers").replies == []
    reply = three.reply()
    assert reply["silent"] == []
    assert {name: (each["ok"], each["node"]) for name, each in reply["answers"].items()} == {
        name: (True, name) for name in "abc"
    }


def test_who_does_not_answer_in_time_is_named(three: Three) -> None:
    three.to_c.deaf = True
    three.ask(verb="audit", timeout_s=3.0)
    three.wire.settle()
    assert three.a.turn(later_s=2.5).replies == []
    reply = answer(three.a.turn(later_s=0.6))
    assert (sorted(reply["answers"]), reply["silent"]) == (["a", "b"], ["c"])


def test_who_loses_its_link_is_not_waited_for(three: Three) -> None:
    three.ask(verb="audit", timeout_s=30.0)
    three.wire.deliver(three.to_b, to_acceptor=True)
    three.to_c.to_acceptor.clear()
    turn = three.a.turn(link_events=[("tcp://c", "disconnected", "the connection was closed")])
    assert turn.replies == []
    reply = three.reply()
    assert (sorted(reply["answers"]), reply["silent"]) == (["a", "b"], ["c"])


def test_a_node_alone_answers_at_once(tmp_path: Path) -> None:
    reply = Bench(tmp_path, "a").ask("everywhere", verb="audit")
    assert (list(reply["answers"]), reply["silent"]) == (["a"], [])


@pytest.mark.parametrize("verb", ["dlq.retry", "everywhere", "nonsense"])
def test_only_questions_may_be_asked_everywhere(tmp_path: Path, verb: str) -> None:
    reply = Bench(tmp_path, "a").ask("everywhere", verb=verb)
    assert (reply["ok"], reply["code"]) == (False, "unknown")
    assert "audit" in reply["message"]


def test_a_peer_that_asks_for_an_act_is_told_no_and_nothing_is_done(three: Three) -> None:
    key = next(key for key in three.b.links.up() if isinstance(key, bytes))
    asked = control({"t": "ask", "id": 1, "do": "dlq.discard", "fields": {"ids": [1]}})
    turn = three.b.turn(links=[(key, asked)])
    (said,) = [data for link, data in turn.passing_links if link == key and b'"answer"' in data]
    assert b'"code":"unknown"' in said
    assert not turn.changes


def test_an_answer_that_nobody_waits_for_is_passed_over(three: Three) -> None:
    turn = three.a.turn(links=[("tcp://b", control({"t": "answer", "id": 99, "reply": {}}))])
    assert turn.replies == []
    assert three.a.node.counts["malformed control"] == 0


@pytest.mark.parametrize("depth", [300, 253])
def test_an_answer_that_cannot_be_said_again_is_none_and_harms_nobody(three: Three, depth: int) -> None:
    three.to_b.deaf = three.to_c.deaf = True
    three.ask(verb="audit", timeout_s=3.0)
    deep = b'{"t":"answer","id":1,"reply":' + b"[" * depth + b"]" * depth + b"}"
    assert three.a.turn(links=[("tcp://b", CONTROL + deep)]).replies == []
    reply = answer(three.a.turn(later_s=3.5))
    assert (list(reply["answers"]), reply["silent"], three.a.node.counts["malformed control"]) == (["a"], ["b", "c"], 1)
