"""An event on one line."""

from __future__ import annotations

from datetime import datetime

from mesh.cli.event_lines import event_json, event_text


def test_text_shows_local_time_with_milliseconds_and_no_control_characters() -> None:
    then = datetime(2026, 1, 5, 12, 3, 4, 123_456).timestamp()
    row = {"time": then, "id": "n0.1/A/1", "payload": {"text": "\x9b31m", "n": 1}}
    assert event_text(row) == '2026-01-05 12:03:04.123  n0.1/A/1  {"text":"\\x9b31m","n":1}'


def test_json_is_one_line() -> None:
    assert event_json({"payload": {"text": "a\nb"}}) == '{"payload":{"text":"a\\nb"}}'
