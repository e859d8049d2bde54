"""The pages: what a node says over HTTP, made of its last snapshot and of nothing else.

    /status    the node as JSON; `age_s` says how long ago that was true
    /healthz   200 while turns end, 503 when none has for 5 s
    /readyz    200, or 503 with the reasons: a critical subscription is missing, the disk refuses, no turn ends
    /metrics   the same figures for Prometheus

Each page is written once per snapshot and then handed out as it is (only the age is put in front of it): a thousand
requests cost the time of a thousand copies. Everything but GET and HEAD is 405, every other path 404.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.clock import Now
from node.metrics import exposition
from node.snapshot import Snapshot

STALE_S = 5.0
"""A turn ends twice a second even when nothing happens, and a snapshot is taken every second."""

JSON = "application/json"


class Pages:
    """The pages of one node. `snapshot` is replaced by the node's thread; the handlers run on the pages' own."""

    def __init__(self, snapshot: Snapshot, clock: Callable[[], Now]) -> None:
        self.snapshot = snapshot
        self._clock = clock
        self._status: tuple[Snapshot | None, bytes] = None, b""
        self._metrics: tuple[Snapshot | None, bytes] = None, b""

    def app(self) -> Starlette:
        """The ASGI application."""
        pages = {
            "/status": self._say_status,
            "/healthz": self._say_health,
            "/readyz": self._say_ready,
            "/metrics": self._say_metrics,
        }
        return Starlette(routes=[Route(path, page, methods=["GET"]) for path, page in pages.items()])

    def _age_s(self, snapshot: Snapshot) -> float:
        return (self._clock().mono_us - snapshot.taken.mono_us) / 1e6

    async def _say_status(self, _: Request) -> Response:
        snapshot = self.snapshot
        if self._status[0] is not snapshot:
            self._status = snapshot, orjson.dumps(snapshot.status, option=orjson.OPT_NON_STR_KEYS)
        return Response(b'{"age_s":%.3f,' % self._age_s(snapshot) + self._status[1][1:], media_type=JSON)

    async def _say_health(self, _: Request) -> Response:
        stale = self._stale(self.snapshot)
        return _answer({"healthy": not stale, "reasons": stale}, stale)

    async def _say_ready(self, _: Request) -> Response:
        snapshot = self.snapshot
        reasons = [*snapshot.unready, *self._stale(snapshot)]
        return _answer({"ready": not reasons, "reasons": reasons}, reasons)

    async def _say_metrics(self, _: Request) -> Response:
        snapshot = self.snapshot
        if self._metrics[0] is not snapshot:
            self._metrics = snapshot, exposition(snapshot)
        return Response(self._metrics[1], media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _stale(self, snapshot: Snapshot) -> list[str]:
        age_s = self._age_s(snapshot)
        return [f"no turn of the node has ended for {age_s:.1f} s"] if age_s > STALE_S else []


def _answer(fields: dict[str, object], reasons: list[str]) -> Response:
    return Response(orjson.dumps(fields), 503 if reasons else 200, media_type=JSON)
