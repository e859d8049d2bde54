"""SOCKS5, as a client speaks it: what is said to a proxy, and what its answers mean (RFC 1928, 1929). Bytes, no I/O.

    client                          proxy
    05 02 00 02             ──────▶             version 5, two methods: without authentication, user and password
                            ◀──────  05 02      this method; ff: none of those
    01 LEN USER LEN PASSWORD ─────▶             only where the proxy has chosen that
                            ◀──────  01 00      welcome; anything but 00: not with these
    05 01 00 KIND HOST PORT ──────▶             connect me with
                            ◀──────  05 00 00 KIND HOST PORT      it stands; a code other than 00 says why not

A host name goes to the proxy as it is, which looks it up where it stands: it may be known there only.

Who reads the configuration may know the password, and nobody else: the text of a `Proxy` is its place alone, and no
error quotes a value that could hold one. On the wire it is in the clear, as the RFC has it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from urllib.parse import unquote_to_bytes

from node.addresses import names_a_place

CHOICE_BYTES = 2
"""How long the answer to `methods` is."""
WELCOME_BYTES = 2
"""How long the answer to `login` is."""
REPLY_BYTES = 5
"""How long the part of a reply is after which its whole length is known."""

_VERSION = 5
_LOGIN_VERSION = 1
_OPEN, _LOGIN = 0, 2
_SCHEME = "socks5://"
_SECRET_BYTES_MAX = 255
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IPV4, _NAME, _IPV6 = 1, 3, 4
_HOST_BYTES = {_IPV4: 4, _IPV6: 16}
_NAME_BYTES_MAX = 255
_REFUSALS = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "it took too long",
    7: "it makes no connections for others",
    8: "it does not know this kind of address",
}


class ProxyRefused(Exception):
    """The proxy makes no connection, and why."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and how to log in there: both empty, or both of 1..255 bytes."""

    host: str
    port: int
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_proxy(text: str) -> Proxy:
    """Read `HOST:PORT` or `socks5://USER:PASSWORD@HOST:PORT`. Raises `ValueError`, in which no secret stands."""
    login, at, place = text.removeprefix(_SCHEME).rpartition("@")
    if not names_a_place(f"tcp://{place}") or (at and not text.startswith(_SCHEME)):
        quoted = "this" if "@" in text or place.count(":") > 1 else repr(text)
        raise ValueError(f"{quoted} is no SOCKS5 proxy; write HOST:PORT or {_SCHEME}USER:PASSWORD@HOST:PORT")
    host, _, port = place.rpartition(":")
    user, password = _read_login(login) if at else (b"", b"")
    return Proxy(host.strip("[]"), int(port), user, password)


def _read_login(login: str) -> tuple[bytes, bytes]:
    if _BARE_PERCENT.search(login):
        raise ValueError("a % in the user or the password of a SOCKS5 proxy begins two hex digits; write %25 for it")
    user, _, password = (unquote_to_bytes(part) for part in login.partition(":"))
    if not (0 < len(user) <= _SECRET_BYTES_MAX and 0 < len(password) <= _SECRET_BYTES_MAX):
        most = f"of at most {_SECRET_BYTES_MAX} bytes each"
        raise ValueError(f"a SOCKS5 proxy takes a user and a password {most}; write {_SCHEME}USER:PASSWORD@HOST:PORT")
    return user, password


def methods(proxy: Proxy) -> bytes:
    """The first words: version 5, and the ways in which this client can log in."""
    offered = bytes([_OPEN, _LOGIN] if proxy.user else [_OPEN])
    return bytes([_VERSION, len(offered)]) + offered


def chosen(answer: bytes, proxy: Proxy) -> bytes:
    """What is said next after the answer to `methods`: b"" where the proxy lets everybody in. Raises `ProxyRefused`."""
    version, method = answer
    if version != _VERSION:
        raise ProxyRefused("it does not speak SOCKS5")
    if method == _OPEN:
        return b""
    if not proxy.user:
        raise ProxyRefused(f"it asks for a user and a password; write socks5 = {_SCHEME}USER:PASSWORD@{proxy}")
    if method != _LOGIN:
        raise ProxyRefused("it lets nobody in with a user and a password")
    user, password = proxy.user, proxy.password
    return bytes([_LOGIN_VERSION, len(user)]) + user + bytes([len(password)]) + password


def welcome(answer: bytes) -> None:
    """Check the answer to a user and a password. Raises `ProxyRefused`."""
    if answer[1] != 0:
        raise ProxyRefused("it refuses the user and the password")


def request(host: str, port: int) -> bytes:
    """Ask for a connection. Raises `ProxyRefused` for a name that is too long to be said."""
    try:
        number = ip_address(host)
        kind, said = (_IPV4 if isinstance(number, IPv4Address) else _IPV6), number.packed
    except ValueError:
        name = host.encode()
        if len(name) > _NAME_BYTES_MAX:
            raise ProxyRefused(f"a host name has at most {_NAME_BYTES_MAX} bytes") from None
        kind, said = _NAME, bytes([len(name)]) + name
    return b"\x05\x01\x00" + bytes([kind]) + said + struct.pack("!H", port)


def rest_bytes(reply: bytes) -> int:
    """How many bytes follow the first `REPLY_BYTES` of a reply that says yes. Raises `ProxyRefused` for any other."""
    version, code, _, kind, first = reply
    if version != _VERSION or (code == 0 and kind not in (*_HOST_BYTES, _NAME)):
        raise ProxyRefused("it does not speak SOCKS5")
    if code != 0:
        raise ProxyRefused(f"it cannot reach the peer: {_REFUSALS.get(code, f'code {code}')}")
    host_bytes = first if kind == _NAME else _HOST_BYTES[kind] - 1
    return host_bytes + 2
