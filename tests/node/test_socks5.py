"""What is said to a SOCKS5 proxy, byte by byte, and what its answers mean."""

from __future__ import annotations

import pytest

from node.socks5 import ProxyRefused, chosen, request, rest_bytes


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("10.0.0.7", 7270, b"\x05\x01\x00\x01\x0a\x00\x00\x07\x1c\x66"),
        ("fd00::7", 1, b"\x05\x01\x00\x04\xfd" + bytes(14) + b"\x07\x00\x01"),
        ("gpu-17.lan", 65535, b"\x05\x01\x00\x03\x0agpu-17.lan\xff\xff"),
    ],
)
def test_numbers_are_said_as_numbers_and_names_are_left_to_the_proxy(host: str, port: int, said: bytes) -> None:
    assert request(host, port) == said


def test_a_name_that_cannot_be_said_is_refused() -> None:
    with pytest.raises(ProxyRefused, match="at most 255 bytes"):
        request("x" * 256, 1)


@pytest.mark.parametrize(
    ("answer", "reason"), [(b"\x05\xff", "a user and a password"), (b"HT", "does not speak SOCKS5")]
)
def test_a_proxy_that_wants_more_or_is_none_is_named(answer: bytes, reason: str) -> None:
    chosen(b"\x05\x00")
    with pytest.raises(ProxyRefused, match=reason):
        chosen(answer)


@pytest.mark.parametrize(("kind", "first", "rest"), [(1, 127, 5), (3, 9, 11), (4, 0, 17)])
def test_a_reply_that_says_yes_is_read_to_its_end(kind: int, first: int, rest: int) -> None:
    assert rest_bytes(bytes([5, 0, 0, kind, first])) == rest


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"\x05\x05\x00\x01\x00", "it cannot reach the peer: connection refused"),
        (b"\x05\x63\x00\x01\x00", "it cannot reach the peer: code 99"),
        (b"\x05\x00\x00\x09\x00", "it does not speak SOCKS5"),
        (b"HTTP/", "it does not speak SOCKS5"),
    ],
)
def test_a_reply_that_says_no_says_why(reply: bytes, reason: str) -> None:
    with pytest.raises(ProxyRefused, match=reason):
        rest_bytes(reply)
