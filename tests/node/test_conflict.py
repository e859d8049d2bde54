"""What a node says of another one that goes by its name, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.rivals import ASKS_WITHIN_S
from tests.node.workbench import Bench, control


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "m")


def test_another_node_of_this_name_is_shown_and_forgotten_when_nobody_speaks_of_it(bench: Bench) -> None:
    link = bench.peer("b")
    bench.turn(links=[(link, control({"t": "rival", "origin": "m.2", "listen": "tcp://h:1"}))])
    bench.turn(later_s=1.0)
    assert bench.membership.conflict == (
        f"two nodes are called 'm': this one, {bench.origin}, and m.2 at tcp://h:1, says b; rename one"
    )
    for _ in range(int(ASKS_WITHIN_S) + 1):
        bench.turn(later_s=1.0)
    assert bench.membership.conflict == ""


def test_a_former_origin_of_the_node_itself_is_no_rival_until_all_must_know_that_it_is_gone(bench: Bench) -> None:
    bench.store.write_meta({"generations": "0badc0de 00000001"})
    bench.restart()
    link, former = bench.peer("b"), "m.0badc0de"
    rival = control({"t": "rival", "origin": former, "listen": "tcp://h:1"})
    refusal = {"t": "refuse", "code": "name", "reason": "two nodes", "origin": bench.origin, "life": ""}
    for _ in range(15):
        bench.turn(links=[(link, rival)], later_s=1.0)
        assert bench.membership.conflict == ""
    bench.turn(links=[(link, control({**refusal, "by": "b", "keeps": former}))], later_s=1.0)
    assert (bench.membership.conflict, bench.membership.isolated) == ("", True)
    link = bench.peer("c")
    for _ in range(5):
        bench.turn(links=[(link, rival)], later_s=1.0)
    assert f"{former} at tcp://h:1, says c" in bench.membership.conflict


def test_a_node_that_is_refused_for_its_name_says_by_whom(bench: Bench) -> None:
    link = bench.peer("b")
    refusal = {"t": "refuse", "code": "name", "reason": "two nodes", "origin": bench.origin, "life": ""}
    bench.turn(links=[(link, control({**refusal, "by": "b", "keeps": "m.2"}))])
    bench.turn(later_s=1.0)
    assert bench.membership.isolated
    assert bench.membership.conflict == (
        f"two nodes are called 'm': this one, {bench.origin}, and m.2, says b; rename one; this one is refused by b"
    )


def test_a_node_is_refused_by_nobody_any_more_when_who_refused_it_is_gone(bench: Bench) -> None:
    link = bench.peer("b")
    refusal = {"t": "refuse", "code": "name", "reason": "two nodes", "origin": bench.origin, "life": ""}
    bench.turn(links=[(link, control({**refusal, "by": "b", "keeps": "m.2"}))])
    bench.turn(link_events=[(link, "disconnected", "the connection was closed")])
    bench.turn(later_s=1.0)
    assert (bench.membership.conflict, bench.membership.isolated) == ("", False)
