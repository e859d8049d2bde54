"""Single requests to a node."""

import json

import pytest

from mesh.client import NodeClient
from mesh.errors import ConsumerHeld, NodeUnreachable, RequestRefused
from tests.mesh.fake_node import eventually


def test_a_request_is_answered(node):
    with NodeClient(node.data_dir) as client:
        assert client.request("anything", field=1)["ok"] is True
    (asked,) = node.asked("anything")
    assert asked["field"] == 1


def test_an_address_is_as_good_as_a_data_directory(node):
    address = json.loads((node.data_dir / "node.json").read_text())["ctl"]
    with NodeClient(address) as client:
        assert client.request("anything")["ok"] is True


def test_blobs_come_with_the_answer(node):
    with NodeClient(node.data_dir) as client:
        reply, blobs = client.exchange("replay", ranges=[])
    assert (reply["rows"], blobs) == ([], [])


@pytest.mark.parametrize(("code", "error"), [("no", RequestRefused), ("held", ConsumerHeld)])
def test_a_refusal_is_an_error_with_the_nodes_words(node, code, error):
    node.refuse["anything"] = (code, "because of this")
    with NodeClient(node.data_dir) as client, pytest.raises(error, match="because of this") as caught:
        client.request("anything")
    assert caught.value.code == code


def test_without_a_node_file_nobody_is_asked(tmp_path):
    with pytest.raises(NodeUnreachable, match="start one with mesh-node --data-dir"):
        NodeClient(tmp_path)


def test_a_node_that_does_not_answer_is_unreachable(node):
    node.stop()
    with NodeClient(node.data_dir, timeout=0.05) as client, pytest.raises(NodeUnreachable, match="no node answers"):
        client.request("anything")


def test_a_late_answer_is_not_taken_for_the_next_one(node):
    node.muted.add("first")
    with NodeClient(node.data_dir) as client:
        client.request("warm")
        with pytest.raises(NodeUnreachable):
            client.request("first", timeout=0.2)
        eventually(lambda: node.unanswered)
        node.answer_late()
        assert "late" not in client.request("second")
