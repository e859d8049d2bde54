"""The dead letters for programs: only the handler that failed runs again, and done is what succeeded."""

import sqlite3

import pytest

from mesh.coordination import get_dead_letter_queue, publish, subscribe
from mesh.errors import InvalidOption, NodeUnreachable
from tests.conditions import eventually


class Story:
    """Two handlers of one event, one of which fails until it is mended."""

    def __init__(self):
        self.mended = False
        self.failing_calls = []
        self.healthy_calls = []
        subscribe("TRAINING_COMPLETED", self.failing, name="feedback", attempts=1)
        subscribe("TRAINING_COMPLETED", self.healthy, name="healthy")

    def failing(self, event):
        self.failing_calls.append((event.payload["config_key"], event.attempt))
        if not self.mended:
            raise ValueError(f"no config {event.payload['config_key']}")

    def healthy(self, event):
        self.healthy_calls.append(event.payload["config_key"])

    def fail(self, dlq, *keys):
        for key in keys:
            publish("TRAINING_COMPLETED", {"config_key": key}).wait(10)
        eventually(lambda: dlq.get_pending_count() == len(keys))
        return dlq.get_pending_events()


@pytest.fixture
def dlq(local):
    return get_dead_letter_queue()


@pytest.fixture
def story(dlq):
    return Story()


def test_a_failed_event_is_told_with_everything_one_needs(story, dlq, local):
    (failed,) = story.fail(dlq, "hex8_2p")
    assert (failed.event_type, failed.event_data, failed.payload) == (
        "TRAINING_COMPLETED",
        {"config_key": "hex8_2p"},
        {"config_key": "hex8_2p"},
    )
    assert (failed.error, failed.retry_count, failed.consumer, failed.state) == (
        "ValueError: no config hex8_2p",
        0,
        "feedback",
        "dead",
    )
    assert (failed["event_type"], failed["id"]) == ("TRAINING_COMPLETED", failed.id)
    with pytest.raises(KeyError):
        failed["nothing"]
    assert dlq.get_error_summary() == {"ValueError": 1}


def test_a_retry_runs_only_the_failed_handler_and_is_not_done_while_it_fails(story, dlq):
    (failed,) = story.fail(dlq, "a")
    assert dlq.retry_event(failed.id) is False
    (again,) = dlq.get_pending_events()
    assert (again.id, again.retry_count) == (failed.id, 1)
    story.mended = True
    assert dlq.retry_event(failed.id) is True
    assert dlq.get_pending_count() == 0
    assert story.failing_calls == [("a", 1), ("a", 2), ("a", 3)]
    assert story.healthy_calls == ["a"]
    assert dlq.retry_event(failed.id) is False


def test_retry_all_says_what_became_of_each(story, dlq):
    ids = [each.id for each in story.fail(dlq, "a", "b", "c")]
    assert [(each.letter, each.word) for each in dlq.retry_all(max_events=2).outcomes] == [
        (ids[0], "failed"),
        (ids[1], "failed"),
    ]
    story.mended = True
    assert dlq.retry_all().counts == {"resolved": 3}
    assert story.healthy_calls == ["a", "b", "c"]


def test_clean_up_discards_what_is_old_enough(story, dlq, client):
    story.fail(dlq, "a", "b")
    assert dlq.cleanup(older_than_hours=24) == 0
    assert dlq.cleanup(older_than_hours=0) == 2
    assert (dlq.get_pending_count(), dlq.get_error_summary()) == (0, {})
    assert client.request("audit")["balanced"]


def test_pending_events_come_in_pages_and_by_type_and_consumer(story, dlq):
    story.fail(dlq, *(f"k{number}" for number in range(120)))
    assert [each.event_data["config_key"] for each in dlq.get_pending_events(limit=110)] == [
        f"k{number}" for number in range(110)
    ]
    assert dlq.get_pending_events(event_type="TASK_*") == []
    assert len(dlq.get_pending_events(limit=3, consumer="feedback")) == 3
    with pytest.raises(InvalidOption, match="limit is 0"):
        dlq.get_pending_events(limit=0)


def test_the_view_of_the_database_has_the_runbooks_columns(story, dlq, local):
    (failed,) = story.fail(dlq, "hex8_2p")
    database = sqlite3.connect(f"file:{local.nodes[0].data_dir / 'mesh.db'}?mode=ro", uri=True)
    try:
        rows = database.execute(
            "SELECT id, event_type, event_data, error, created_at, retry_count FROM dead_letter_queue"
        ).fetchall()
    finally:
        database.close()
    assert rows == [
        (
            failed.id,
            "TRAINING_COMPLETED",
            '{"config_key":"hex8_2p"}',
            "ValueError: no config hex8_2p",
            failed.created_at,
            0,
        )
    ]


def test_without_a_node_it_says_so(tmp_path):
    with pytest.raises(NodeUnreachable, match="start one with mesh-node"):
        get_dead_letter_queue(tmp_path).get_pending_count()
