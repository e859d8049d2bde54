"""The payloads of `mesh pub`: one on the command line, one on standard input, or one on each line of it.

    stdin ─▶ select ─▶ read 64 KiB ─▶ whole lines ─▶ JSON objects          no more than one unfinished line is kept

Nothing waits for a buffer to fill: a line that somebody types is published at once, and while none comes the reader
says so (None), which leaves time to look at receipts.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
from collections.abc import Iterator
from typing import Any

import typer

from mesh.limits import PAYLOAD_BYTES_MAX

LINE_BYTES_MAX = 8 * PAYLOAD_BYTES_MAX
"""A line may be longer than its payload: white space, and \\u escapes of six bytes for one character."""
_LONG_NUMBER = re.compile(rb"\d{19}")
IDLE_S = 0.05
"""How often receipts are looked at while no line comes."""


def one_payload(text: str | None, lines: bool) -> dict[str, Any]:
    """The one payload of the command line."""
    if lines:
        raise typer.BadParameter("--lines reads standard input; leave the JSON out")
    if text is None:
        return {}
    return parse_object(
        sys.stdin.buffer.read() if text == "-" else text.encode("utf-8", "surrogateescape"), "the payload"
    )


def from_lines() -> Iterator[dict[str, Any] | None]:
    """The payloads of standard input, one a line; empty lines are nothing, and None says that there is none now."""
    number = 0
    for line in read_lines(sys.stdin.fileno(), IDLE_S):
        number += line is not None
        if line is None:
            yield None
        elif line.strip():
            yield parse_object(line, f"line {number}")


def parse_object(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises `typer.BadParameter` that names `what` is wrong."""
    import orjson

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{what} is no JSON ({error}); write an object such as '{{\"key\": 1}}'") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{what} is no JSON object; write one such as '{{\"key\": 1}}'")
    if _LONG_NUMBER.search(text):
        _check_integers(text, what)
    return value


def _check_integers(text: bytes, what: str) -> None:
    """Refuse integers beyond 64 bits: orjson would make another number of them, a rounded one, without a word."""

    def exact(digits: str) -> int:
        number = int(digits) if len(digits) <= 20 else 1 << 64
        if not -(1 << 63) <= number < 1 << 64:
            raise typer.BadParameter(f"{what} has the integer {digits[:40]}, which has over 64 bits; make it a string")
        return number

    try:
        json.loads(text, parse_int=exact)
    except RecursionError:
        pass  # nested so deeply that no event takes it


def read_lines(descriptor: int, idle_s: float) -> Iterator[bytes | None]:
    """Lines as they come, without buffering beyond one; None whenever nothing came for `idle_s` seconds."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], idle_s)[0]:
            yield None
            continue
        chunk = os.read(descriptor, 1 << 16)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_BYTES_MAX:
            raise typer.BadParameter(f"a line is longer than {LINE_BYTES_MAX} bytes; write one JSON object a line")
        if not chunk:
            if rest:
                yield rest
            return
