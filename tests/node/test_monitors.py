"""What the events of libzmq's monitors mean."""

from __future__ import annotations

import pytest
import zmq

from node.link import KEY_REFUSED
from node.monitors import CLOSED, NOBODY, NOT_FOUND, Dialled, News, Strangers

ACCEPTED, SUCCEEDED, ENDED = zmq.EVENT_ACCEPTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED
NO_KEY, NO_ZMTP = zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
GONE = News("disconnected", CLOSED)
SHUT, RETRIED = zmq.EVENT_CLOSED, zmq.EVENT_CONNECT_RETRIED


@pytest.mark.parametrize(
    ("events", "strangers"),
    [
        ([(ACCEPTED, 7), (SUCCEEDED, 7), (ENDED, 7)], []),
        ([(ACCEPTED, 7), (ENDED, 7)], ["it does not speak ZMTP"]),
        ([(ACCEPTED, 7), (NO_KEY, 400), (ENDED, 7)], [KEY_REFUSED]),
        ([(ACCEPTED, 7), (NO_ZMTP, 1), (ENDED, 7), (ACCEPTED, 8), (ENDED, 8)], ["it does not speak ZMTP"] * 2),
        ([(ACCEPTED, 7), (ACCEPTED, 8), (NO_KEY, 400), (SUCCEEDED, 8), (ENDED, 7), (ENDED, 8)], [KEY_REFUSED]),
    ],
)
def test_who_comes_and_is_no_node_is_counted_once(events: list[tuple[int, int]], strangers: list[str]) -> None:
    found = Strangers()
    said = [reason for event in events if (reason := found.event(*event))]
    assert [reason.split(",")[0] for reason in said] == [each.split(",")[0] for each in strangers]


@pytest.mark.parametrize(
    ("events", "news"),
    [
        ([SUCCEEDED, ENDED], [News("connected"), GONE]),
        ([NO_KEY, ENDED], [News("rejected", KEY_REFUSED)]),
        ([NO_KEY, ENDED, SUCCEEDED, ENDED], [News("rejected", KEY_REFUSED), News("connected"), GONE]),
        ([NO_KEY, SUCCEEDED, ENDED], [News("rejected", KEY_REFUSED), News("connected"), GONE]),
        ([SUCCEEDED, ENDED, NO_KEY, ENDED], [News("connected"), GONE, News("disconnected", KEY_REFUSED)]),
        ([SHUT, RETRIED, SHUT, RETRIED, SHUT], [News("unreached", NOBODY)]),
        ([RETRIED], []),
        ([RETRIED, RETRIED, RETRIED], [News("unreached", NOT_FOUND)]),
        (
            [SUCCEEDED, ENDED, RETRIED, SHUT],
            [News("connected"), GONE, News("unreached", NOBODY)],
        ),
        ([SUCCEEDED, ENDED, RETRIED, SUCCEEDED], [News("connected"), GONE, News("connected")]),
        ([RETRIED, RETRIED, SHUT, RETRIED], [News("unreached", NOT_FOUND), News("unreached", NOBODY)]),
        ([SHUT, SUCCEEDED, SHUT], [News("unreached", NOBODY), News("connected"), News("unreached", NOBODY)]),
    ],
)
def test_what_becomes_of_a_dialled_connection_is_news_once(events: list[int], news: list[News]) -> None:
    dialled = Dialled()
    assert [each for event in events if (each := dialled.event("tcp://a:1", event))] == news


def test_addresses_are_told_apart_and_forgotten() -> None:
    dialled = Dialled()
    assert [dialled.event(address, RETRIED) for address in ("tcp://a:1", "tcp://b:1")] == [None, None]
    dialled.forget("tcp://a:1")
    assert dialled.event("tcp://a:1", RETRIED) is None
    assert dialled.event("tcp://b:1", RETRIED) == News("unreached", NOT_FOUND)
