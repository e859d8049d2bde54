"""A SOCKS5 proxy for tests: a thread per connection, TCP by name or number, a password if wanted (RFC 1928, 1929)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

_ADDRESS_BYTES = {1: 4, 4: 16}


class Socks5:
    """A proxy on loopback, at a free port unless told. `asked` are the places it has connected to: (host, port).

    `names` are those that it alone knows, and what they stand for. With a `login`, user and password, it lets in nobody
    else; `logins` are those that were tried.
    """

    def __init__(
        self, at: str = "127.0.0.1:0", names: dict[str, str] | None = None, login: tuple[bytes, bytes] | None = None
    ) -> None:
        self.asked: list[tuple[str, int]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self._login = login
        self._names = names or {}
        self._open: list[socket.socket] = []
        host, _, port = at.rpartition(":")
        family = socket.AF_INET6 if "[" in host else socket.AF_INET
        self._listener = socket.create_server((host.strip("[]"), int(port)), family=family)
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Socks5:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def let_in(self, user: bytes, password: bytes) -> None:
        """From now on only with these, and end what is connected."""
        self._login = (user, password)
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            _, methods = _exactly(client, 2)
            if not self._lets_in(client, _exactly(client, methods)):
                return
            host, port = self._request(client)
            try:
                far = socket.create_connection((self._names.get(host, host), port))
            except ConnectionRefusedError:
                client.sendall(b"\x05\x05\x00\x01" + bytes(6))
                return
            self._open.append(far)
            self.asked.append((host, port))
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            threading.Thread(target=_pump, args=(far, client), daemon=True).start()
            _pump(client, far)

    def _lets_in(self, client: socket.socket, methods: bytes) -> bool:
        if self._login is None:
            client.sendall(b"\x05\x00")
            return True
        if 2 not in methods:
            client.sendall(b"\x05\xff")
            return False
        client.sendall(b"\x05\x02")
        assert _exactly(client, 1) == b"\x01"
        user, password = (_exactly(client, _exactly(client, 1)[0]) for _ in range(2))
        self.logins.append((user, password))
        client.sendall(b"\x01\x00" if (user, password) == self._login else b"\x01\x01")
        return (user, password) == self._login

    def _request(self, client: socket.socket) -> tuple[str, int]:
        _, _, _, kind = _exactly(client, 4)
        raw = _exactly(client, _ADDRESS_BYTES[kind] if kind in _ADDRESS_BYTES else _exactly(client, 1)[0])
        family = socket.AF_INET if kind == 1 else socket.AF_INET6
        host = socket.inet_ntop(family, raw) if kind in _ADDRESS_BYTES else raw.decode()
        return host, struct.unpack("!H", _exactly(client, 2))[0]


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
