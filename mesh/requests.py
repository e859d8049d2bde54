"""The local protocol: what a program and its node say to each other. Shapes only, no sockets.

    program                                                   node
    XPUB ──────────── frames (sequence 0) ──────────────────▶ in   XSUB, bound
    SUB  ◀── frames + position │ directed │ beacons ───────── out  XPUB, bound
    DEALER ◀────────── requests and replies ────────────────▶ ctl  ROUTER, bound

**in**   Only frames. The XPUB socket (`IMMEDIATE=1`, `XPUB_NODROP=1`) receives 0x01 when the node attaches and 0x00
when it goes away, and a full pipe is an error instead of a silent drop.

**out**  One of three, told apart by the first byte:

    topic …          a frame, followed by 8 bytes: the position of its first event in the node's log (0: not logged)
    !SESSION 00 …    directed at one session: JSON, and in further parts of the same message the frames it speaks of
    ~heads 00 …      beacon: JSON {"heads": [[origin, topic, head] …]}, about once a second, the streams that moved

**ctl**  Request `[JSON, blob …]`, JSON = {"id": n, "do": verb, …}; reply `[JSON, blob …]`, JSON = {"id": n, "ok": true,
…} or {"id": n, "ok": false, "code": word, "message": sentence}. Replies may come in another order than the requests.

Before a session, by a program that knows the node by its address: where → in out ctl, the endpoints.

Verbs of a session (`session` is the publisher id in hex, random per bus):

    hello        session name pid first        first: the oldest number without a receipt, where the node takes up
                 → node origin in out payload_bytes_max        replied once the node has seen `!SESSION` subscribed
                   reported                                     serial of the last report it has taken in
    subscribe    session sub consumer pattern durable since attempts backoff timeout_s resume marker
                 → streams [[origin topic next head] …]         next: the first sequence this subscription is owed
                   skip [[origin topic sequence] …]             events not to be handled: they killed their consumer
                 The program subscribes the pattern's prefix and then `@marker` on its SUB socket; the node answers when
                 that marker has arrived (the prefix is then in force) and the linked peers know of the interest.
                 since: "now" | "earliest" | {"time_us": t} | {"ago_us": t};   resume: null, or after a re-attachment
                 [[origin topic confirmed] …], the streams this subscription already follows (no reply row for those
                 except when the head moved). Refused with code `held` when the durable name is attached elsewhere.
    unsubscribe  session sub
    report       session serial subs [{sub moves letters}]      what became of events, in one transaction; serial counts
                                                                them, so that one whose answer was lost is recognised
                 move  [origin topic from to failures lost]     settled from (exclusive) to (inclusive); failures and
                       failure {sequence attempt kind error_type error traceback elapsed_s}   kind: error | timeout
                       lost [[first last] …]                    ranges the node called gone
                 letter [id attempt failure-or-null]            outcome of a redelivery
                 A report that has a word in it which cannot be true is refused as a whole, and the refusal has
                 refused [{sub, move or letter, why, head} …]   move, letter: its index in the part of that sub
                                                                head: where the stream ends here, if the move is beyond
    replay       ranges [[origin topic first last] …] bytes_max → gone [[origin topic first last] …], rows
                 [position …] and as many blobs: the frames of the log that hold the start of what was asked for, in
                 order, as much as fits; ask again for the rest. A frame may begin before `first`.
    wiring       session groups critical                        how the program is wired, in place of its last word
                 groups {group {topics {topic "subscribed" or "failed: …"}}};   critical [topic …]: what must be held
    goodbye      session

Directed messages, by their "t":

    receipts     origin runs [[number count topic sequence] …] duplicates [[number first_id] …]
                 rejected [[number count code message] …]       an event's id is origin/topic/sequence
    resend       first                                          frames from this number on did not arrive; send again
    redeliver    sub letter attempt + one frame of one event    a failed event, for this subscription only
    hello                                                       the node does not know this session; attach anew
    goodbye                                                     the node stops in good order; look for its return

Verbs of operators are in `node.requests`; their replies are what the CLI prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Literal, TypedDict

import orjson

from mesh.errors import ConsumerHeld, MalformedFrame, RequestRefused
from mesh.limits import CONTROL_BYTES_MAX

Json = dict[str, Any]

PROTOCOL = 1
DIRECTED = b"!"
MARKER = b"@"
BEACON = b"~"
HEADS_TOPIC = b"~heads\x00"
POSITION = Struct("!Q")
DIRECTED_HEAD_BYTES = 18
"""`!`, 16 hex digits, 0x00: what precedes the JSON of a directed message."""

_NESTED_SURELY = 250
"""As deep as this a message may be nested, and a little deeper. JSON is read 1024 deep and written 254 deep; Python,
asked to show such a thing, gives up in between."""

Stream = tuple[str, str, int, int]
"""origin, topic, next sequence owed, head"""


class Failure(TypedDict):
    """One failed attempt, as the program saw it. `elapsed_s` is what the handler used, in seconds."""

    sequence: int
    attempt: int
    kind: Literal["error", "timeout", "crash"]
    error_type: str
    error: str
    traceback: str
    elapsed_s: float


def session_topic(session: bytes) -> bytes:
    """What a session's SUB socket subscribes to receive its directed messages."""
    return DIRECTED + session.hex().encode() + b"\x00"


def marker_topic(marker: str) -> bytes:
    """What a SUB socket subscribes to tell the node that the subscriptions before it are in force."""
    return MARKER + marker.encode()


def pack_directed(session: bytes, message: Json) -> bytes:
    """First part of a message for one session."""
    return session_topic(session) + orjson.dumps(message)


def unpack_directed(part: bytes) -> Json:
    """The JSON of a directed message's first part."""
    return unpack_control(part[DIRECTED_HEAD_BYTES:])


def pack_beacon(heads: Sequence[tuple[str, str, int]]) -> bytes:
    """A beacon: the streams whose head moved since the last one."""
    return HEADS_TOPIC + orjson.dumps({"heads": heads})


def unpack_beacon(part: bytes) -> list[tuple[str, str, int]]:
    """The heads of a beacon. Raises `MalformedFrame` of kind `control`."""
    message = unpack_control(part[len(HEADS_TOPIC) :])
    try:
        return [(origin, topic, head) for origin, topic, head in message["heads"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedFrame("control", f"a beacon without rows of origin, topic, head: {error!r}") from None


def pack_request(id_: int, do: str, fields: Json) -> bytes:
    """First part of a request."""
    return orjson.dumps({**fields, "id": id_, "do": do})


def pack_reply(id_: object, fields: Json) -> bytes:
    """First part of a reply that says yes."""
    return orjson.dumps({**fields, "id": id_, "ok": True}, option=orjson.OPT_NON_STR_KEYS)


def pack_refusal(id_: object, code: str, message: str, fields: Json | None = None) -> bytes:
    """First part of a reply that says no: one word for programs, one sentence for people, and what else there is."""
    return orjson.dumps({**(fields or {}), "id": id_, "ok": False, "code": code, "message": message})


def unpack_control(part: bytes) -> Json:
    """A control message's JSON object. Raises `MalformedFrame` of kind `control`."""
    if len(part) > CONTROL_BYTES_MAX:
        raise MalformedFrame("control", f"{len(part)} bytes, at most {CONTROL_BYTES_MAX} are allowed")
    try:
        message = orjson.loads(part)
    except orjson.JSONDecodeError as error:
        raise MalformedFrame("control", f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise MalformedFrame("control", f"a JSON {type(message).__name__} where an object is expected")
    if not can_be_nested(message, part.count(b"[") + part.count(b"{")):
        raise MalformedFrame("control", "it is nested so deep that nothing of it could be said again")
    return message


def can_be_nested(value: object, brackets: int, levels: int = 0) -> bool:
    """Whether JSON with so many opening brackets can be written again, so many levels deep in a message."""
    if brackets + levels <= _NESTED_SURELY:
        return True
    for _ in range(levels):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def refusal(reply: Json) -> RequestRefused:
    """The error a refusing reply stands for."""
    kind = ConsumerHeld if reply.get("code") == "held" else RequestRefused
    return kind(str(reply.get("code", "refused")), str(reply.get("message", "the node refused without a reason")))
