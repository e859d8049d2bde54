"""Tunnels: the way to peers through a SOCKS5 proxy. A thread with a loop that copies bytes and understands none.

    dealer ──▶ via-0, a Unix socket in the node's directory ──▶ tunnel ──▶ proxy ──▶ peer
    dealer ──▶ via-1                                        ──▶ tunnel ──▶ proxy ──▶ another peer

libzmq can dial through such a proxy by itself, and ends the whole process where the proxy is down (4.3.5: its
connecter closes a socket that its poller still holds). So a link's socket connects to a Unix socket here, as it would
to the peer, and each of its connections is joined with one that the proxy made. When either end closes, so does the
other: the link's socket sees a connection that fell, and tries again as ever.

Copying is at the pace of the slower end: at most about 128 KiB each way wait here beside what the kernels hold. A proxy
that is down or refuses is asked again after a pause that doubles up to 5 s, and `reason` says what was wrong.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from node import socks5
from node.socks5 import Proxy, ProxyRefused, read_proxy

ANSWER_S = 20.0
"""A proxy that is asked to connect may take so long: it may dial half around the world itself."""
_PAUSE_FIRST_S, PAUSE_MAX_S = 0.1, 5.0
_COPY_BYTES = 65_536
_KEEPALIVE_S, _KEEPALIVE_PROBES = 2, 5

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Place = tuple[int, tuple[str, int]]
"""Address family, and address and port."""


@dataclass(slots=True)
class _Way:
    """How one peer is reached: where the link's socket connects to, and what came of it."""

    host: str
    port: int
    path: Path
    listener: socket.socket
    tries: int = 0
    reason: str = ""
    accepting: asyncio.Task[None] | None = None
    asking: set[asyncio.Task[None]] = field(default_factory=set)


class Tunnels:
    """The tunnels of one node through a proxy (`node.socks5.read_proxy`). Its methods are for the node's thread."""

    def __init__(self, proxy: str, directory: Path, unanswered_ms: int) -> None:
        self._proxy = read_proxy(proxy)
        self._directory = directory
        self._unanswered_ms = unanswered_ms
        self._ways: dict[str, _Way] = {}
        self._joined: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        for left_over in directory.glob("via-*"):
            _remove(left_over)
        self._thread = threading.Thread(target=self._loop.run_forever, name="meshbus-tunnels", daemon=True)
        self._thread.start()

    def open(self, address: str) -> str:
        """Where to connect to instead of `tcp://HOST:PORT`. Raises `OSError` when there is no room for a socket."""
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        used = {way.path for way in self._ways.values()}
        numbered = (self._directory / f"via-{number}" for number in range(len(used) + 1))
        path = next(each for each in numbered if each not in used)
        way = self._ways[address] = _Way(host.strip("[]"), int(port), path, _listen(path))
        self._loop.call_soon_threadsafe(self._begin, way)
        return f"ipc://{path}"

    def end(self, address: str) -> None:
        """The way is not wanted any more. What is joined ends when the link's socket closes its end."""
        way = self._ways.pop(address, None)
        if way is not None:
            _remove(way.path)
            self._loop.call_soon_threadsafe(self._stop, way)

    def reason(self, address: str) -> str:
        """Why the proxy made no connection to that address when it was last asked; "" where it did."""
        way = self._ways.get(address)
        return "" if way is None else way.reason

    def close(self, linger_ms: int) -> None:
        """End everything; what is on its way to the proxy has `linger_ms`."""
        for address in list(self._ways):
            self.end(address)
        asyncio.run_coroutine_threadsafe(self._finish(linger_ms / 1000), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ── in the loop's thread ─────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, way: _Way) -> None:
        way.accepting = self._loop.create_task(self._accept(way))
        way.accepting.add_done_callback(lambda _: way.listener.close())

    def _stop(self, way: _Way) -> None:
        for task in (way.accepting, *way.asking):
            if task is not None:
                task.cancel()

    async def _finish(self, linger_s: float) -> None:
        if self._joined:
            await asyncio.wait(self._joined, timeout=linger_s)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, way: _Way) -> None:
        while True:
            try:
                near, _ = await self._loop.sock_accept(way.listener)
            except OSError as error:  # too many open files: it may be better later
                way.reason = f"no tunnel to the proxy {self._proxy}: {error.strerror}"
                await asyncio.sleep(PAUSE_MAX_S)
                continue
            task = self._loop.create_task(self._serve(way, near))
            way.asking.add(task)
            task.add_done_callback(way.asking.discard)

    async def _serve(self, way: _Way, near: socket.socket) -> None:
        """Ask the proxy; hand over what it connected, or hold the link's socket up for a while, which tries again."""
        try:
            async with asyncio.timeout(ANSWER_S):
                far = await self._ask(way)
        except (OSError, EOFError, ProxyRefused) as error:
            way.reason = self._said(error)
            pause_s = min(_PAUSE_FIRST_S * 2.0**way.tries, PAUSE_MAX_S)
            way.tries = min(way.tries + 1, 10)
            with near:
                await asyncio.sleep(pause_s)
            return
        except BaseException:
            near.close()
            raise
        way.tries, way.reason = 0, ""
        joined = self._loop.create_task(_join(near, far))
        self._joined.add(joined)
        joined.add_done_callback(self._joined.discard)

    def _said(self, error: Exception) -> str:
        if isinstance(error, ProxyRefused):
            return f"through the proxy {self._proxy}: {error}"
        if isinstance(error, TimeoutError) and error.errno is None:
            return f"the proxy {self._proxy} has not answered within {ANSWER_S:g} s"
        if isinstance(error, socket.gaierror):
            return f"the proxy {self._proxy} is not found: {error.strerror}"
        if isinstance(error, OSError) and error.errno is not None:
            return f"the proxy {self._proxy} does not answer: {os.strerror(error.errno)}"
        return f"the proxy {self._proxy} closed the connection before it had answered"

    async def _ask(self, way: _Way) -> _Streams:
        """Have the proxy connect to the peer."""
        far = await self._reach_any(await self._find())
        try:
            await _shake_hands(far, self._proxy, way.host, way.port)
        except BaseException:
            far[1].transport.abort()
            raise
        return far

    async def _reach_any(self, places: list[_Place]) -> _Streams:
        """A name may stand for an address of IPv6 beside one of IPv4, and the proxy listen at one of them."""
        for place in places[:-1]:
            with suppress(OSError):
                return await self._reach(place)
        return await self._reach(places[-1])

    async def _reach(self, place: _Place) -> _Streams:
        family, address = place
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.setblocking(False)
            _notice_silence(plain, self._unanswered_ms)
            await self._loop.sock_connect(plain, address)
            return await asyncio.open_connection(sock=plain, limit=_COPY_BYTES)
        except BaseException:
            plain.close()
            raise

    async def _find(self) -> list[_Place]:
        """Look the proxy's name up, in a thread that nobody has to wait for when the node stops."""
        found: asyncio.Future[list[_Place]] = self._loop.create_future()

        def tell(result: list[_Place] | OSError) -> None:
            if found.done():
                return
            if isinstance(result, OSError):
                found.set_exception(result)
            else:
                found.set_result(result)

        def look() -> None:
            result: list[_Place] | OSError
            try:
                rows = socket.getaddrinfo(self._proxy.host, self._proxy.port, type=socket.SOCK_STREAM)
                result = [(family, (str(place[0]), int(place[1]))) for family, *_, place in rows]
            except OSError as error:
                result = error
            except UnicodeError:
                result = socket.gaierror(socket.EAI_NONAME, "it is no name")
            with suppress(RuntimeError):  # the node has stopped meanwhile
                self._loop.call_soon_threadsafe(tell, result)

        threading.Thread(target=look, name="meshbus-proxy-name", daemon=True).start()
        return await found


async def _shake_hands(far: _Streams, proxy: Proxy, host: str, port: int) -> None:
    reader, writer = far
    writer.write(socks5.methods(proxy))
    login = socks5.chosen(await reader.readexactly(socks5.CHOICE_BYTES), proxy)
    if login:
        writer.write(login)
        socks5.welcome(await reader.readexactly(socks5.WELCOME_BYTES))
    writer.write(socks5.request(host, port))
    await reader.readexactly(socks5.rest_bytes(await reader.readexactly(socks5.REPLY_BYTES)))


async def _join(near: socket.socket, far: _Streams) -> None:
    """Copy both ways until either end closes; what it said before goes through, then the other is closed."""
    far_reader, far_writer = far
    near_reader, near_writer = await asyncio.open_unix_connection(sock=near, limit=_COPY_BYTES)
    ways = [asyncio.create_task(_copy(near_reader, far_writer)), asyncio.create_task(_copy(far_reader, near_writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for writer in (near_writer, far_writer):
            writer.close()
    for writer in (near_writer, far_writer):
        with suppress(OSError):
            await writer.wait_closed()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_COPY_BYTES):
            target.write(data)
            await target.drain()


def _notice_silence(plain: socket.socket, unanswered_ms: int) -> None:
    """A proxy whose machine is gone is noticed as a peer's would be (`node.sockets`)."""
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unanswered_ms),
    ):
        plain.setsockopt(level, option, value)


def _remove(path: Path) -> None:
    with suppress(OSError):  # a disk that has become read-only keeps it
        path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        made.bind(str(path))
        made.listen()
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
