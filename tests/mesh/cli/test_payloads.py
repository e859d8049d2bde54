"""Reading the payloads of `mesh pub`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
import typer

from mesh.cli import payloads
from mesh.cli.payloads import one_payload, parse_object, read_lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def test_lines_come_as_they_are_written_and_none_says_that_there_is_nothing(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    lines = read_lines(read_end, 0.001)
    assert next(lines) is None
    os.write(write_end, b"one\ntw")
    assert next(lines) == b"one"
    assert next(lines) is None
    os.write(write_end, b"o\nlast")
    assert next(lines) == b"two"
    os.close(write_end)
    assert list(lines) == [b"last"]


def test_a_line_has_a_longest_length(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "LINE_BYTES_MAX", 10)
    os.write(pipe[1], b"x" * 11)
    with pytest.raises(typer.BadParameter, match="a line is longer than 10 bytes"):
        list(read_lines(pipe[0], 0.001))


def test_a_payload_that_is_left_out_is_an_empty_object() -> None:
    assert one_payload(None, lines=False) == {}
    assert one_payload('{"a": [1, null]}', lines=False) == {"a": [1, None]}


@pytest.mark.parametrize("text", ["", "{", "nope", "{'a': 1}", '{"a": NaN}', "\udce4"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="the payload is no JSON"):
        one_payload(text, lines=False)


@pytest.mark.parametrize("text", [b"[1]", b"1", b'"a"', b"null"])
def test_json_that_is_no_object_is_refused_by_the_name_of_its_place(text: bytes) -> None:
    with pytest.raises(typer.BadParameter, match="line 7 is no JSON object"):
        parse_object(text, "line 7")


@pytest.mark.parametrize("digits", ["18446744073709551616", "-9223372036854775809", "9" * 23, "9" * 300])
def test_an_integer_that_would_be_rounded_is_refused(digits: str) -> None:
    with pytest.raises(typer.BadParameter, match="the payload has the integer"):
        one_payload(f'{{"a": [{{"n": {digits}}}]}}', lines=False)


@pytest.mark.parametrize("digits", ["18446744073709551615", "-9223372036854775808", "0.12345678901234567890123"])
def test_numbers_that_fit_are_taken_as_they_are(digits: str) -> None:
    assert one_payload(f'{{"n": {digits}}}', lines=False) == json.loads(f'{{"n": {digits}}}')


def test_digits_in_a_text_are_no_integer() -> None:
    assert one_payload(f'{{"n": "{"9" * 40}"}}', lines=False) == {"n": "9" * 40}


def test_lines_and_a_payload_exclude_each_other() -> None:
    with pytest.raises(typer.BadParameter, match="leave the JSON out"):
        one_payload("{}", lines=True)
