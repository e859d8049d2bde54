"""A subscription: what the user holds of a registered handler. It only looks at what the I/O thread keeps for it.

Subscription (any thread)                     Course (the I/O thread, `mesh.course`)
name · pattern · ready · close()  ──────────▶  following · settlement · runner · state of the registration
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from mesh.course import Course
from mesh.errors import RequestRefused


class Subscription:
    """A registered handler; closing it ends the delivery. A context manager."""

    def __init__(self, course: Course, close: Callable[[Course, float], None]) -> None:
        self._course = course
        self._close = close

    @property
    def name(self) -> str:
        """The consumer's name: under it the node keeps progress and dead letters."""
        return self._course.options.consumer

    @property
    def pattern(self) -> str:
        """The pattern as it was given."""
        return self._course.options.pattern.text

    @property
    def ready(self) -> bool:
        """Whether the node has registered it; from then on every event of the pattern is owed."""
        return self._course.state == "registered"

    @property
    def error(self) -> RequestRefused | None:
        """Why the node refused it, when it did so after `subscribe` had returned."""
        return self._course.error

    @property
    def missed(self) -> int:
        """How many ephemeral events are lost to it, because 200,000 or 64 MiB already waited for its handler."""
        return self._course.missed

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the node has registered it, at most `timeout` seconds."""
        self._course.settled.wait(timeout)
        return self._course.resuming

    def close(self, timeout: float = 5.0) -> None:
        """Stop the delivery: a running handler may finish within `timeout` seconds, queued events stay unsettled."""
        self._close(self._course, timeout)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription {self.name} to {self.pattern} ({self._course.state})>"
