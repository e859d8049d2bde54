"""What is said to a SOCKS5 proxy, byte by byte, and what its answers mean."""

from __future__ import annotations

import pytest

from node.socks5 import Proxy, ProxyRefused, chosen, methods, read_proxy, request, rest_bytes, welcome

ANYBODY = Proxy("h", 1)
NAMED = Proxy("h", 1, b"me", b"secret")


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


def test_a_user_and_a_password_are_offered_where_there_are_any_and_said_where_they_are_asked_for() -> None:
    assert (methods(ANYBODY), methods(NAMED)) == (b"\x05\x01\x00", b"\x05\x02\x00\x02")
    assert chosen(b"\x05\x00", ANYBODY) == chosen(b"\x05\x00", NAMED) == b""
    assert chosen(b"\x05\x02", NAMED) == b"\x01\x02me\x06secret"
    welcome(b"\x01\x00")


@pytest.mark.parametrize(
    ("proxy", "answer", "reason"),
    [
        (ANYBODY, b"\x05\xff", "it asks for a user and a password; write socks5 = socks5://USER:PASSWORD@h:1"),
        (ANYBODY, b"\x05\x02", "it asks for a user and a password"),
        (NAMED, b"\x05\xff", "it lets nobody in with a user and a password"),
        (NAMED, b"HT", "does not speak SOCKS5"),
    ],
)
def test_a_proxy_that_wants_more_or_is_none_is_named(proxy: Proxy, answer: bytes, reason: str) -> None:
    with pytest.raises(ProxyRefused, match=reason):
        chosen(answer, proxy)


def test_a_password_that_is_refused_is_an_error_of_its_own() -> None:
    with pytest.raises(ProxyRefused, match="it refuses the user and the password"):
        welcome(b"\x01\x01")


@pytest.mark.parametrize(
    ("text", "host", "port", "user", "password"),
    [
        ("10.0.0.7:1080", "10.0.0.7", 1080, b"", b""),
        ("socks5://proxy.lan:1080", "proxy.lan", 1080, b"", b""),
        ("[fd00::7]:1080", "fd00::7", 1080, b"", b""),
        ("socks5://me:secret@[fd00::7]:1080", "fd00::7", 1080, b"me", b"secret"),
        ("socks5://me%40lan:a%3Ab%2fc%25@h:1", "h", 1, b"me@lan", b"a:b/c%"),
        ("socks5://me:a:b@c://d@h:1", "h", 1, b"me", b"a:b@c://d"),
        ("socks5://m%C3%BC:%00%ff@h:1", "h", 1, "mü".encode(), b"\x00\xff"),
    ],
)
def test_a_proxy_is_read(text: str, host: str, port: int, user: bytes, password: bytes) -> None:
    assert read_proxy(text) == Proxy(host, port, user, password)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("h", "'h' is no SOCKS5 proxy; write HOST:PORT or socks5://USER:PASSWORD@HOST:PORT"),
        ("socks5://me:secret@h", "this is no SOCKS5 proxy"),
        ("me:secret:h:1", "this is no SOCKS5 proxy"),
        ("me:secret@h:1", "this is no SOCKS5 proxy"),
        ("http://me:secret@h:1", "this is no SOCKS5 proxy"),
        ("socks5://me@h:1", "takes a user and a password of at most 255 bytes each"),
        ("socks5://:secret@h:1", "takes a user and a password"),
        ("socks5://me:" + 256 * "secret" + "@h:1", "takes a user and a password"),
        ("socks5://me:secret%4@h:1", "write %25 for it"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_said_without_its_secrets(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_proxy(text)
    assert "secret" not in str(caught.value)


def test_the_text_of_a_proxy_is_its_place_alone() -> None:
    proxy = read_proxy("socks5://me:secret@[::1]:1080")
    assert (str(proxy), repr(proxy)) == ("[::1]:1080", "Proxy(host='::1', port=1080)")


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
