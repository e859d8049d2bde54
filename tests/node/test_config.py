from __future__ import annotations

import tomllib
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from mesh.errors import ConfigurationError, MeshError
from mesh.location import default_data_dir
from node.config import ENV_PREFIX, NodeSettings, default_name, load_settings

EXAMPLE = Path(__file__).parents[2] / "configs" / "node.toml"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return file


# ── where a value comes from ─────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_said_gives_the_defaults() -> None:
    settings = load_settings()
    assert (settings.name, settings.listen, settings.peers) == ("", "tcp://127.0.0.1:7270", ())
    assert settings.data_dir == default_data_dir()


def test_flags_override_variables_those_the_file_and_that_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, 'name = "file"\nheartbeat_s = 2.0\ndead_after_s = 20\nlisten = "tcp://127.0.0.1:1"')
    monkeypatch.setenv("MESH_NODE_NAME", "variable")
    monkeypatch.setenv("MESH_NODE_HEARTBEAT_S", "3")
    settings = load_settings(file, {"name": "flag"})
    assert (settings.name, settings.heartbeat_s, settings.dead_after_s) == ("flag", 3.0, 20.0)
    assert (settings.listen, settings.log_level) == ("tcp://127.0.0.1:1", "INFO")
    assert load_settings(file).name == "variable"
    monkeypatch.delenv("MESH_NODE_NAME")
    assert load_settings(file).name == "file"


def test_a_file_read_once_leaves_nothing_behind(tmp_path: Path) -> None:
    load_settings(write(tmp_path, 'name = "file"'))
    assert load_settings().name == ""


def test_lists_and_tables_come_from_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, 'peers = ["tcp://b:1", "tcp://c:1", "tcp://b:1"]\n[dedup_windows]\n"gpu.*" = 0\nA = 600')
    settings = load_settings(file)
    assert settings.peers == ("tcp://b:1", "tcp://c:1")
    assert list(settings.dedup_windows.items()) == [("gpu.*", 0.0), ("A", 600.0)]
    monkeypatch.setenv("MESH_NODE_PEERS", '["tcp://d:1"]')
    monkeypatch.setenv("MESH_NODE_DEDUP_WINDOWS", '{"B": 5}')
    settings = load_settings(file)
    assert (settings.peers, settings.dedup_windows["B"]) == (("tcp://d:1",), 5.0)
    assert load_settings(file, {"peers": ["tcp://e:1"]}).peers == ("tcp://e:1",)


@pytest.mark.parametrize("address", ["", "127.0.0.1:0", "[::1]:7271", "gpu-17.lan:80", "0.0.0.0:7271"])
def test_the_pages_have_a_host_and_a_port_or_are_off(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MESH_NODE_HTTP", address)
    assert load_settings().http == address


def test_patterns_to_replicate_are_a_list_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NODE_REPLICATE", "gpu.*,A,gpu.*")
    assert load_settings().replicate == ("gpu.*", "A")


def test_critical_topics_are_a_list_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NODE_CRITICAL", "A, B,A")
    assert load_settings().critical == ("A", "B")


def test_a_variable_of_several_peers_may_be_a_plain_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NODE_PEERS", "tcp://b:1, tcp://c:2")
    assert load_settings().peers == ("tcp://b:1", "tcp://c:2")
    monkeypatch.setenv("MESH_NODE_PEERS", "")
    assert load_settings().peers == ()


# ── what is wrong with it ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nmae = 'a'", ["nmae", "unknown", "dedup_window_s"]),
        ("name = 'two words'", ["name", "'two words'", "letters"]),
        ("name = '-a'", ["name", "'-a'"]),
        ("name = 5", ["name", "string"]),
        ("data_dir = ''", ["data_dir", "''", "leave"]),
        ('data_dir = "a\\u0000"', ["data_dir", "x00", "leave"]),
        ("listen = 'localhost:7270'", ["listen", "'localhost:7270'", "tcp://HOST:PORT"]),
        ("listen = 'tcp://h:99999'", ["listen", "99999"]),
        ("listen = 'udp://h:1'", ["listen", "tcp://HOST:PORT"]),
        ("local_tcp = 'tcp://h'", ["local_tcp", "tcp://HOST:PORT"]),
        ("peers = ['tcp://b:1', 'b']", ["peers", "'b'"]),
        ("peers = ['tcp://b:0']", ["peers", "'tcp://b:0'", "port"]),
        ("peers = ['tcp://b:*']", ["peers", "'tcp://b:*'"]),
        ("peers = ['tcp://*:7270']", ["peers", "'tcp://*:7270'"]),
        ("peers = 5", ["peers"]),
        ("http = 'localhost'", ["http", "'localhost'", "HOST:PORT"]),
        ("http = 'http://h:1'", ["http", "'http://h:1'", "HOST:PORT"]),
        ("http = 'h:99999'", ["http", "99999"]),
        ("critical = ['A', 'b*']", ["critical", "'b*'"]),
        ("durability = 'maybe'", ["durability", "'full'", "'os'"]),
        ("log_level = 'LOUD'", ["log_level", "'DEBUG'"]),
        ("dedup_window_s = -1", ["dedup_window_s", "greater than or equal to 0"]),
        ("dedup_window_s = nan", ["dedup_window_s"]),
        ("heartbeat_s = 'often'", ["heartbeat_s", "number"]),
        ("heartbeat_s = true", ["heartbeat_s", "true is no number"]),
        ('dedup_windows = {"A" = false}', ["dedup_windows", "false is no number"]),
        ("heartbeat_s = 6.0", ["dead_after_s", "heartbeat_s", "twice"]),
        ("log_events = 99999999999999999999", ["log_events", "less than"]),
        ("letters_max = 9223372036854775808", ["letters_max", "less than"]),
        ("link_queue_bytes = 5", ["link_queue_bytes", "1048576"]),
        ("[dedup_windows]\n'a b' = 5", ["dedup_windows", "'a b'", "white space"]),
        ("[dedup_windows]\n'A' = -5", ["dedup_windows.A"]),
    ],
)
def test_a_wrong_value_is_one_clear_line(tmp_path: Path, line: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(write(tmp_path, line))
    message = str(refusal.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"name = ", ["no TOML"]), (b"\xff\xfe", ["no TOML"]), (None, ["cannot be read", "No such file"])],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    file = tmp_path / "node.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(file)
    assert [word for word in [str(file), *words] if word not in str(refusal.value)] == []


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("name", ["MESH_NODE_NMAE", "MESH_NODE_", "MESH_NODE_DATADIR"])
def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigurationError, match=f"environment variable {name} is not known.*MESH_NODE_DATA_DIR"):
        load_settings()


def test_the_librarys_variable_is_not_one_of_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NODE", "/somewhere")
    assert load_settings().data_dir == default_data_dir()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PEERS", "[1"), ("DEDUP_WINDOWS", "{"), ("DEDUP_WINDOWS", "5"), ("HEARTBEAT_S", "often"), ("LISTEN", "here")],
)
def test_a_wrong_variable_is_one_clear_line_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MESH_NODE_{name}", value)
    with pytest.raises(ConfigurationError, match=name.lower()) as refusal:
        load_settings()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [("PEERS", '["tcp://a:1"', '["A", "B"], or A,B'), ("DEDUP_WINDOWS", "gpu.*=0", '{"PATTERN": 0}')],
)
def test_a_variable_that_is_no_json_is_answered_with_how_to_write_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, example: str
) -> None:
    monkeypatch.setenv(f"MESH_NODE_{name}", value)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert str(refusal.value).endswith(example)


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(MeshError, match="nmae"):
        load_settings(None, {"nmae": "a"})


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().name = "other"


def test_the_host_name_makes_a_node_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, name in [("gpu-17.lan", "gpu-17"), ("_strange host!", "strange-host"), ("é", "node"), ("", "node")]:
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        assert default_name() == name
        assert load_settings(None, {"name": default_name()}).name == name


# ── the example file ─────────────────────────────────────────────────────────────────────────────────────────────────


def example() -> dict[str, Any]:
    """The example's keys, those in comments (`# key = value`) too: they show what has no default worth copying."""
    lines = EXAMPLE.read_text().splitlines()
    shown = tomllib.loads(EXAMPLE.read_text())
    commented = [line[2:] for line in lines if line.startswith("# ") and line[2:].partition(" = ")[0].isidentifier()]
    return {**tomllib.loads("\n".join(commented)), **shown}


def test_the_example_shows_every_key_and_no_other() -> None:
    assert sorted(example()) == sorted(NodeSettings.model_fields)


def test_the_examples_values_are_the_defaults() -> None:
    shown = tomllib.loads(EXAMPLE.read_text())
    for key, field in NodeSettings.model_fields.items():
        if key in shown:
            assert field.default is not PydanticUndefined, key
            assert shown[key] == (list(field.default) if isinstance(field.default, tuple) else field.default), key
    assert set(NodeSettings.model_fields) - set(shown) == {"data_dir"}


def test_the_example_can_be_used_as_it_is() -> None:
    assert load_settings(EXAMPLE).model_dump() == load_settings().model_dump()


def test_a_leaf_is_no_peer_listens_nowhere_and_cannot_be_advertised(tmp_path: Path) -> None:
    leaf = load_settings(None, {"leaf": True, "data_dir": tmp_path})
    assert (leaf.role, leaf.accepts_at) == ("leaf", "")
    assert load_settings(None, {"data_dir": tmp_path}).role == "peer"
    with pytest.raises(ConfigurationError, match="a leaf is dialled by nobody"):
        load_settings(None, {"leaf": True, "advertise": ("tcp://h:1",), "data_dir": tmp_path})
    assert load_settings(None, {"leaf": True, "listen": "", "data_dir": tmp_path}).accepts_at == ""
    with pytest.raises(ConfigurationError, match=r"a leaf listens nowhere, and listen is 'tcp://10.0.0.7:7270'"):
        load_settings(None, {"leaf": True, "listen": "tcp://10.0.0.7:7270", "data_dir": tmp_path})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
@pytest.mark.parametrize("port", ["7272", "0", "*"])
def test_the_sockets_for_local_programs_may_be_on_loopback(tmp_path: Path, host: str, port: str) -> None:
    address = f"tcp://{host}:{port}"
    assert load_settings(None, {"local_tcp": address, "data_dir": tmp_path}).local_tcp == address


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "10.0.0.7", "[fd00::7]", "gpu-17", "127.0.0.1.lan"])
def test_and_nowhere_else(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"configuration of local_tcp: .* is open to other machines"):
        load_settings(None, {"local_tcp": f"tcp://{host}:7272", "data_dir": tmp_path})


@pytest.mark.parametrize("key", ["peers", "advertise"])
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "*"])
def test_no_peer_is_everywhere(tmp_path: Path, key: str, host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"configuration of {key}: .* cannot be dialled"):
        load_settings(None, {key: (f"tcp://{host}:7270",), "data_dir": tmp_path})


def test_at_most_eight_addresses_are_advertised(tmp_path: Path) -> None:
    eight = tuple(f"tcp://h:{port}" for port in range(1, 9))
    assert load_settings(None, {"advertise": eight, "data_dir": tmp_path}).advertise == eight
    with pytest.raises(ConfigurationError, match="configuration of advertise: 9 addresses; others remember 8"):
        load_settings(None, {"advertise": (*eight, "tcp://h:9"), "data_dir": tmp_path})


@pytest.mark.parametrize("proxy", ["http://h:1", "h", "h:", ":1", "h:99999", "h:0", "socks5://"])
def test_a_proxy_is_a_host_and_a_port(tmp_path: Path, proxy: str) -> None:
    assert load_settings(None, {"socks5": "127.0.0.1:9050", "data_dir": tmp_path}).socks5 == "127.0.0.1:9050"
    with pytest.raises(ConfigurationError, match="write HOST:PORT"):
        load_settings(None, {"socks5": proxy, "data_dir": tmp_path})


@pytest.mark.parametrize("proxy", ["socks5://me:secret@h:1", "socks5://me:secret@h", "me:secret@h:1"])
def test_the_password_of_a_proxy_is_in_no_error_and_in_no_text_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("MESH_NODE_SOCKS5", proxy)
    try:
        said = repr(load_settings(None, {"data_dir": tmp_path}))
    except ConfigurationError as error:
        said = "".join(traceback.format_exception(error))
    assert "secret" not in said
