"""Where a node is looked for."""

import json
from pathlib import Path

import pytest

from mesh.errors import InvalidOption
from mesh.location import Endpoints, default_data_dir, find_place, is_address, read_endpoints


def test_an_argument_comes_before_the_variable_and_the_variable_before_the_default(monkeypatch):
    monkeypatch.setenv("MESH_NODE", "/from/variable")
    assert find_place("/from/argument") == "/from/argument"
    assert find_place(None) == "/from/variable"
    monkeypatch.delenv("MESH_NODE")
    assert find_place(None) == str(default_data_dir())


def test_a_home_directory_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert find_place("~/node") == "/home/someone/node"
    assert not is_address(find_place(Path("/srv/node")))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:7272", "tcp://[::1]:7272", "tcp://localhost:1", "ipc:///a/ctl"])
def test_an_address_stays_as_it_is(address):
    assert find_place(address) == address
    assert is_address(address)


@pytest.mark.parametrize("place", ["", "tcp://127.0.0.1", "tcp://:7272", "http://127.0.0.1:7271", "tcp://a:b"])
def test_what_names_no_node_is_refused(place):
    with pytest.raises(InvalidOption, match="write a data directory or tcp://HOST:PORT"):
        find_place(place)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"in": "ipc:///a", "out": "ipc:///b"}', '{"in": null}'])
def test_a_file_that_is_half_written_names_no_endpoints(tmp_path, content):
    (tmp_path / "node.json").write_text(content)
    assert read_endpoints(tmp_path) is None


def test_no_file_names_no_endpoints(tmp_path):
    assert read_endpoints(tmp_path) is None


def test_the_endpoints_are_read_from_the_nodes_file(tmp_path):
    (tmp_path / "node.json").write_text(json.dumps({"name": "n", "in": "a", "out": "b", "ctl": "c"}))
    assert read_endpoints(tmp_path) == Endpoints("a", "b", "c")
