"""SOCKS5, as a client speaks it: what is said to a proxy, and what its answers mean (RFC 1928). Bytes, no I/O.

    client                          proxy
    05 01 00                ──────▶             version 5, one method: without authentication
                            ◀──────  05 00      this method; ff: none of those
    05 01 00 KIND HOST PORT ──────▶             connect me with
                            ◀──────  05 00 00 KIND HOST PORT      it stands; a code other than 00 says why not

A host name goes to the proxy as it is, which looks it up where it stands: it may be known there only.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address

METHODS = b"\x05\x01\x00"
"""The first words: version 5, no authentication."""
CHOICE_BYTES = 2
"""How long the answer to `METHODS` is."""
REPLY_BYTES = 5
"""How long the part of a reply is after which its whole length is known."""

_IPV4, _NAME, _IPV6 = 1, 3, 4
_HOST_BYTES = {_IPV4: 4, _IPV6: 16}
_NAME_BYTES_MAX = 255
_NONE_OF_THESE = 0xFF
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


def chosen(answer: bytes) -> None:
    """Check the answer to `METHODS`. Raises `ProxyRefused`."""
    if answer[0] != METHODS[0]:
        raise ProxyRefused("it does not speak SOCKS5")
    if answer[1] == _NONE_OF_THESE:
        raise ProxyRefused("it asks for a user and a password, and this node has none")


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
    if version != METHODS[0] or (code == 0 and kind not in (*_HOST_BYTES, _NAME)):
        raise ProxyRefused("it does not speak SOCKS5")
    if code != 0:
        raise ProxyRefused(f"it cannot reach the peer: {_REFUSALS.get(code, f'code {code}')}")
    host_bytes = first if kind == _NAME else _HOST_BYTES[kind] - 1
    return host_bytes + 2
