"""Every bound in one place, each with its reason. A bound nobody can explain is a bug."""

from __future__ import annotations

from typing import Final

TOPIC_BYTES_MAX: Final = 200
"""A topic is a name, not a payload; it is repeated in every frame and kept in memory per stream."""

ORIGIN_BYTES_MAX: Final = 96
"""`name.generation`: a host name of 63 bytes, a dot and 8 hex digits, with room to spare."""

PAYLOAD_BYTES_MAX: Final = 1 << 20
"""One serialised payload. Larger things belong in a file; the event carries its address."""

META_BYTES_MAX: Final = 4096
"""Source, trace ids, attempt: what stands beside a payload must stay small beside it."""

BATCH_EVENTS_MAX: Final = 1024
"""Events in a frame. Beyond some hundred the cost per frame is noise; this keeps a frame's work bounded."""

BATCH_BYTES_MAX: Final = 256 << 10
"""A publisher closes a batch here, so that no frame of small events holds a link for long."""

FRAME_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + BATCH_BYTES_MAX + META_BYTES_MAX + 1024
"""The largest frame that can be made: one batch about to close, then one payload of full size, and the headers."""

HOPS_MAX: Final = 8
"""Forwarding rules need three; a frame that has come further is in a loop."""

CONTROL_BYTES_MAX: Final = 8 << 20
"""One JSON control message: the heads of some 100,000 streams."""

REPLAY_BYTES_MAX: Final = 1 << 20
"""One chunk of a replay. Small enough that a long read never holds the node's turn for more than milliseconds."""

BUFFER_EVENTS: Final = 100_000
"""Default bound of events a bus keeps without a receipt."""

BUFFER_BYTES: Final = 64 << 20
"""Default bound of bytes a bus keeps without a receipt."""

QUEUE_EVENTS: Final = 1000
"""Default bound of events that wait in memory for one subscription's handler; the rest waits in the node's log."""

DEDUP_WINDOW_S: Final = 60.0
"""How long the same content on the same topic counts as the same announcement."""

DEDUP_EVENTS_MAX: Final = 1 << 17
"""Default bound of hashes kept: a minute of 2,200 events/s, about 17 MB; the oldest are forgotten first."""

QUEUE_BYTES: Final = 4 << 20
"""Small events may wait in memory up to this many bytes per subscription, also beyond the bound of events: a burst of
them is then handled live instead of being read from the log again."""

EPHEMERAL_EVENTS: Final = 200_000
EPHEMERAL_BYTES: Final = 64 << 20
"""Ephemeral events may wait for a handler up to both of these. No log has what finds no room, so there is more of it:
a burst that outruns the handler by 100,000 events a second for two seconds is lost to nobody."""

HANDLER_TIMEOUT_S: Final = 600.0
"""Default time a handler may take for one event."""

ATTEMPTS: Final = 5
"""Default number of times an event is tried on one consumer before it is dead."""

BACKOFF_S: Final = (1.0, 60.0)
"""Default first and largest delay before an event is tried again, before jitter."""

TRACEBACK_CHARS_MAX: Final = 8000
"""A dead letter keeps the end of a traceback, where the cause is."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""What `sockaddr_un` holds on Linux, without the closing NUL."""
