"""Which peers deserve a look."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.cli.issues import has_issue

WELL = {"state": "alive", "link": "up", "dropped": 0, "clock_skew_ms": 3.0}
UNLINKED = {"state": "known", "role": "peer", "link": "down", "via": ""}


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({}, False),
        ({"clock_skew_ms": None}, False),
        ({"state": "suspect"}, True),
        ({"link": "connecting"}, True),
        ({"dropped": 1}, True),
        ({"clock_skew_ms": -1500.0}, True),
        ({"state": "known", "role": "peer", "link": "down"}, True),
        ({"state": "known", "role": "leaf", "link": "down"}, False),
    ],
)
def test_an_issue_is_whatever_deserves_a_look(change: dict[str, Any], issue: bool) -> None:
    assert has_issue({**WELL, **change}) is issue


@pytest.mark.parametrize(
    ("viewer", "change", "issue"),
    [
        ("leaf", {}, False),
        ("leaf", {"link": "connecting", "via": "dialled"}, True),
        ("leaf", {"state": "dead"}, True),
        ("peer", {}, True),
    ],
)
def test_a_peer_that_a_leaf_has_no_need_to_dial_is_no_issue_for_it(
    viewer: str, change: dict[str, Any], issue: bool
) -> None:
    assert has_issue({**WELL, **UNLINKED, **change}, viewer) is issue
