"""Requests: who is answered, and with what, when a verb cannot do what it is asked."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.requests import pack_request, unpack_control
from node.clock import Now
from node.requests import Requests
from node.store import StoreError
from node.turn import Request, Turn


def echo(request: Request, blobs: list[bytes], turn: Turn) -> None:
    turn.reply(request, {"said": request.fields["say"]}, blobs)


def unreadable(request: Request, blobs: list[bytes], turn: Turn) -> None:
    raise StoreError("IO", "disk I/O error")


def asked(do: str, fields: dict[str, object], *blobs: bytes) -> tuple[bytes, list[bytes], Counter[str]]:
    """Who is answered, the answer's parts, and what was counted."""
    counts, turn = Counter[str](), Turn(Now(0, 0))
    requests = Requests({"echo": echo, "unreadable": unreadable}, counts)
    requests.receive([b"me", pack_request(7, do, fields), *blobs], turn)
    ((request, parts),) = turn.replies
    return request.client, parts, counts


def test_the_verb_of_its_name_answers_with_the_requests_number_and_blobs() -> None:
    client, parts, counts = asked("echo", {"say": "x"}, b"blob")
    assert (client, unpack_control(parts[0])["said"], parts[1:]) == (b"me", "x", [b"blob"])
    assert (unpack_control(parts[0])["id"], counts) == (7, {})


@pytest.mark.parametrize(
    ("do", "code", "counted"),
    [("fly", "unknown", {}), ("echo", "malformed", {"malformed request": 1}), ("unreadable", "disk", {})],
)
def test_what_cannot_be_done_is_refused_with_a_code(do: str, code: str, counted: dict[str, int]) -> None:
    _, parts, counts = asked(do, {})
    assert (unpack_control(parts[0])["code"], counts) == (code, counted)


@pytest.mark.parametrize("parts", [[], [b"me"], [b"me", b"no json"]])
def test_what_is_no_request_is_counted_and_not_answered(parts: list[bytes]) -> None:
    counts, turn = Counter[str](), Turn(Now(0, 0))
    Requests({"echo": echo}, counts).receive(parts, turn)
    assert (turn.replies, counts) == ([], {"malformed control": 1})
