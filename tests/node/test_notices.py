"""Notices: what the log file of a node says, and that it says it once."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.clock import Now
from node.notices import LOOK_S, Notices
from node.store import StoreError
from tests.node.workbench import START, Bench, after

FULL = StoreError("Full", "database or disk is full")
LOG = logging.getLogger("a node")


@pytest.fixture
def notices() -> Notices:
    return Notices(LOG)


def node(
    lately: StoreError | None = None, trouble: StoreError | None = None, conflict: str = "", isolated: bool = False
) -> Any:
    """What is looked at of a node that has no peers."""
    membership = SimpleNamespace(conflict=conflict, isolated=isolated)
    links = SimpleNamespace(links={})
    return SimpleNamespace(lately=lambda now: lately, trouble=trouble, membership=membership, links=links)


def said(notices: Notices, caplog: pytest.LogCaptureFixture, *nodes: Any) -> list[tuple[str, str]]:
    with caplog.at_level(logging.WARNING, "a node"):
        for each in nodes:
            notices.give(each, START)
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "a node"]


def test_a_disk_that_refuses_is_told_once_and_once_that_it_is_well_again(
    notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = node(lately=FULL, trouble=FULL)
    assert said(notices, caplog, node(), refusing, refusing, node(lately=FULL), node(), node()) == [
        ("ERROR", f"{FULL}; no event is receipted until it takes writes again"),
        ("WARNING", "the disk is well again; events are receipted"),
    ]


def test_what_cannot_be_read_is_told_apart_from_a_disk_that_refuses(
    notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    assert said(notices, caplog, node(lately=FULL)) == [("ERROR", f"{FULL}; what needs to be read there waits")]


def test_another_node_of_this_name_is_told_again_only_where_it_cuts_this_one_off(
    notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    rival, refused = node(conflict="two of a name"), node(conflict="two of a name, cut off", isolated=True)
    assert said(notices, caplog, rival, rival, refused, refused, rival, node(), node()) == [
        ("ERROR", "two of a name"),
        ("ERROR", "two of a name, cut off"),
        ("WARNING", "no other node has this node's name any more"),
    ]


def test_peers_for_which_no_socket_can_be_made_are_one_line_until_that_was_well_for_a_minute(
    notices: Notices, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.links.dial(["tcp://x:1", "tcp://y:1"])
    told: list[float] = []
    for seconds, lacking in ((0, "xy"), (30, "x"), (31, ""), (89, "x"), (120, ""), (150, "y")):
        for link in bench.links.links.values():
            link.unmade, link.reason = link.address[6] in lacking, f"cannot dial {link.address}: Too many open files"
        with caplog.at_level(logging.WARNING, "a node"):
            notices.give(bench.node, after(START, seconds))
        told += [seconds] * (len(caplog.records) - len(told))
    assert ([record.getMessage() for record in caplog.records], told) == (
        [
            "cannot dial tcp://x:1: Too many open files, and 1 more; it is tried again",
            "cannot dial tcp://y:1: Too many open files; it is tried again",
        ],
        [0, 150],
    )


def test_who_comes_is_looked_at_once_in_a_while_and_only_where_somebody_reads_it(
    notices: Notices, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Now] = []
    monkeypatch.setattr("node.notices.peer_rows", lambda node, now: looks.append(now) or [])
    bench = Bench(tmp_path)
    for level in (logging.WARNING, logging.INFO):
        with caplog.at_level(level, "a node"):
            for seconds in (0, LOOK_S / 2, LOOK_S):
                notices.give(bench.node, after(START, seconds))
    assert looks == [START, after(START, LOOK_S)]
