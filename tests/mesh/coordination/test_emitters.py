"""Every emitter, called in a program of its own, against a real node: what is said is what arrives."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from mesh.coordination import emitters
from mesh.coordination.catalog import SHIPPED, Catalog
from mesh.coordination.catalog_file import EventType
from mesh.coordination.field_types import FIELD_TYPES
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.coordination.emitting import Call, heard, run

CATALOG = Catalog.load(SHIPPED)
EMITTERS = "mesh.coordination.emitters"


@pytest.fixture
def local() -> Iterator[LocalMesh]:
    with LocalMesh() as mesh:
        yield mesh


def values(type_: str, random: Random) -> Any:
    """A value of a type of the catalogue, seldom the same twice."""
    made: dict[str, Any] = {
        "str": f"ünï {random.getrandbits(48):x}",
        "int": random.randint(-(2**63), 2**63 - 1),
        "float": random.uniform(-1e9, 1e9),
        "bool": random.random() < 0.5,
        "dict": {f"k{random.getrandbits(8)}": [None, {"deep": random.random()}]},
    }
    made["list"] = [made["int"], made["str"], None]
    made["any"] = random.choice([made["str"], made["list"], made["dict"]])
    return [made[type_[5:-1]]] * 2 if type_.startswith("list[") else made[type_]


def payloads(kind: EventType, random: Random) -> list[dict[str, Any]]:
    """Everything there is to say, a part of it, and the part with something nobody has listed."""
    full = {field: values(type_, random) for field, type_ in kind.fields.items()}
    part = {field: values(type_, random) for field, type_ in kind.fields.items() if random.random() < 0.5}
    return [full, part, {**part, "not_listed": random.getrandbits(48)}]


def distinct(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without repetitions, which the node would take for one announcement."""
    return [payload for index, payload in enumerate(said) if payload not in said[:index]]


def test_every_emitter_called_with_valid_payloads_arrives_with_exactly_that_payload(local: LocalMesh) -> None:
    random = Random(352)
    plan = [(kind, payload) for kind in CATALOG for payload in distinct(payloads(kind, random))]
    calls: list[Call] = [(EMITTERS, kind.typed_emitter, {**payload, "source": kind.alias}) for kind, payload in plan]
    with heard(local) as events:
        outcomes, _ = run(local, calls)
        eventually(lambda: len(events) >= len(plan), what="every event")
    assert outcomes == ["accepted"] * len(plan)
    assert len({kind.name for kind, _ in plan}) == 352
    assert {kind.name: [payload for each, payload in plan if each is kind] for kind in CATALOG} == {
        kind.name: [event.payload for event in events if event.topic == kind.name] for kind in CATALOG
    }
    assert {(event.topic, event.source) for event in events} == {(kind.name, kind.alias) for kind in CATALOG}
    assert len(events) == len(plan)


def test_by_name_by_alias_and_by_enum_it_is_one_topic(local: LocalMesh) -> None:
    numbers = count()
    calls: list[Call] = [
        ("mesh.coordination", "publish", {"topic": spelling, "payload": {"n": next(numbers)}})
        for kind in CATALOG
        for spelling in (kind.name, kind.name.lower(), kind.alias, kind.alias.title(), f"DataEventType.{kind.name}")
    ]
    with heard(local) as events:
        outcomes, _ = run(local, calls)
        eventually(lambda: len(events) >= len(calls), what="every event")
    assert outcomes == ["accepted"] * len(calls)
    assert sorted((event.payload["n"], event.topic) for event in events) == [
        (number, kind.name) for number, kind in enumerate(kind for kind in CATALOG for _ in range(5))
    ]


def test_what_a_strict_program_may_not_say_is_an_error_and_nothing_is_sent(local: LocalMesh) -> None:
    calls: list[Call] = [
        (EMITTERS, "emit_training_complete", {"config_key": "a", "epochs": 50}),
        (EMITTERS, "emit_training_complete", {"config_key": 7}),
        ("mesh.coordination", "publish", {"topic": "TRAINING_COMPLETD", "payload": {}}),
        (EMITTERS, "emit_training_complete", {"config_key": "last"}),
    ]
    with heard(local) as events:
        outcomes, _ = run(local, calls, MESH_EVENT_VALIDATION_STRICT="true")
        eventually(lambda: events, what="the valid event")
    assert outcomes == [
        "InvalidPayload: TRAINING_COMPLETED has no field 'epochs' any more; it is called 'epochs_completed' now",
        "InvalidPayload: TRAINING_COMPLETED: field 'config_key' is an int, 7; give a str",
        "UnknownEventType: event type 'TRAINING_COMPLETD' is not in the catalogue; did you mean TRAINING_COMPLETED?",
        "accepted",
    ]
    assert [event.payload for event in events] == [{"config_key": "last"}]


def test_what_is_not_strict_is_sent_and_warned_of_once_a_type(local: LocalMesh) -> None:
    calls: list[Call] = [(EMITTERS, "emit_training_complete", {"config_key": number}) for number in range(3)]
    with heard(local) as events:
        outcomes, errors = run(local, calls)
        eventually(lambda: len(events) == 3, what="every event")
    assert outcomes == ["accepted"] * 3
    assert errors.count("TRAINING_COMPLETED: field 'config_key' is an int, 0; give a str") == 1
    assert errors.count("field 'config_key'") == 1


def test_the_same_failure_seen_at_two_moments_is_one_event_and_two_equal_heartbeats_are_two(local: LocalMesh) -> None:
    calls: list[Call] = [
        (EMITTERS, "emit_task_failed", {"task_id": "t", "error": "boom", "failed_at": "12:00:00"}),
        (EMITTERS, "emit_task_failed", {"task_id": "t", "error": "boom", "failed_at": "12:00:07"}),
        (EMITTERS, "emit_task_failed", {"task_id": "t", "error": "boom"}),
        (EMITTERS, "emit_task_failed", {"task_id": "u", "error": "boom", "failed_at": "12:00:07"}),
        (EMITTERS, "emit_task_heartbeat", {"task_id": "t", "progress": 0.5}),
        (EMITTERS, "emit_task_heartbeat", {"task_id": "t", "progress": 0.5}),
    ]
    outcomes, _ = run(local, calls)
    assert outcomes == ["accepted", "duplicate", "duplicate", "accepted", "accepted", "accepted"]


def test_the_emitters_are_the_catalogues_and_each_says_what_it_publishes() -> None:
    assert emitters.__all__ == sorted(emitters.__all__)
    assert sorted(emitters.__all__) == sorted(kind.typed_emitter for kind in CATALOG)
    for kind in CATALOG:
        function = getattr(emitters, kind.typed_emitter)
        named = {
            name: each.annotation
            for name, each in inspect.signature(function).parameters.items()
            if each.kind is inspect.Parameter.KEYWORD_ONLY and name != "source"
        }
        assert list(named) == list(kind.fields)
        for field, type_ in kind.fields.items():
            assert named[field].removesuffix(" | None") == FIELD_TYPES[type_].annotation
        assert function.__doc__.startswith(f"Publish {kind.name}: {kind.purpose}.")


def test_an_argument_that_is_no_field_and_no_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        emitters.emit_training_complete("hex8_2p")  # type: ignore[misc]
