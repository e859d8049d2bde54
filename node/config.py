"""Configuration: what an operator may say, where it is looked for, and what is wrong with it.

    flags  ▶ override ▶  MESH_NODE_* variables  ▶ override ▶  the TOML file  ▶ override ▶  the defaults below

`configs/node.toml` documents every key with unit, default and trade-off. An unknown key, flag or variable is an error:
a mistyped setting that is silently ignored is found out on the worst day.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from mesh.errors import ConfigurationError
from mesh.limits import DEDUP_EVENTS_MAX, DEDUP_WINDOW_S
from mesh.location import default_data_dir
from mesh.topic import check_pattern, check_topic
from node.addresses import is_loopback, names_a_place
from node.link import ADDRESSES_MAX, Role
from node.socks5 import read_proxy
from node.suspicion import knobs

ENV_PREFIX = "MESH_NODE_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_ADDRESS = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.*-]+):(\d{1,5}|\*)")

_HTTP = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")


def _number(value: object) -> object:
    """TOML has `true` for a truth and never for 1."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number; write one")
    return value


Float = Annotated[float, BeforeValidator(_number)]
Int = Annotated[int, BeforeValidator(_number)]
Seconds = Annotated[Float, Field(ge=0, le=86400.0 * 365)]
Count = Annotated[Int, Field(ge=0, lt=1 << 63)]
"""What the database can compare with."""


class NodeSettings(BaseSettings):
    """The settings of one node. Read with `load_settings`; every field is a key of the TOML file."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)
    toml_file: ClassVar[Path | None] = None

    name: str = ""
    data_dir: Path = Field(default_factory=default_data_dir)
    listen: str = "tcp://127.0.0.1:7270"
    peers: Annotated[tuple[str, ...], NoDecode] = ()
    advertise: Annotated[tuple[str, ...], NoDecode] = ()
    leaf: bool = False
    socks5: Annotated[str, Field(repr=False)] = ""
    local_tcp: str = ""
    http: str = "127.0.0.1:7271"
    durability: Literal["full", "os"] = "full"
    dedup_window_s: Seconds = DEDUP_WINDOW_S
    dedup_events: Annotated[Int, Field(ge=1, le=1 << 26)] = DEDUP_EVENTS_MAX
    dedup_windows: dict[str, Seconds] = {}
    heartbeat_s: Annotated[Float, Field(ge=0.05, le=60)] = 1.0
    dead_after_s: Annotated[Float, Field(ge=0.2, le=3600)] = 10.0
    log_age_s: Seconds = 7 * 86400.0
    log_events: Count = 0
    log_bytes: Count = 4 << 30
    letters_age_s: Seconds = 30 * 86400.0
    letters_max: Count = 100_000
    link_queue_bytes: Annotated[Int, Field(ge=1 << 20, le=1 << 32)] = 64 << 20
    critical: Annotated[tuple[str, ...], NoDecode] = ()
    replicate: Annotated[tuple[str, ...], NoDecode] = ()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no node name; use up to 63 letters, digits, '-' and '_'")
        return name

    @field_validator("data_dir", mode="before")
    @classmethod
    def _directory(cls, path: object) -> object:
        """An empty one would be wherever the node was started."""
        if isinstance(path, str) and (not path or "\0" in path):
            raise ValueError(f"{path!r} is no directory; name one, or leave data_dir out")
        return path

    @field_validator("listen")
    @classmethod
    def _endpoint(cls, address: str) -> str:
        return check_address(address) if address else address

    @field_validator("local_tcp")
    @classmethod
    def _local(cls, address: str) -> str:
        """Whoever reaches these sockets may do everything: they are for this machine alone."""
        if address and not is_loopback(check_address(address).replace(":*", ":0")):
            raise ValueError(f"{address!r} is open to other machines; use tcp://127.0.0.1:PORT or tcp://[::1]:PORT")
        return address

    @field_validator("http")
    @classmethod
    def _http(cls, address: str) -> str:
        match = _HTTP.fullmatch(address)
        if address and (not match or int(match[1]) > 65535):
            raise ValueError(f"{address!r} is no address of a page; it looks like HOST:PORT, and empty turns it off")
        return address

    @field_validator("peers", "advertise", "critical", "replicate", mode="before")
    @classmethod
    def _list(cls, items: object) -> object:
        """A variable holds a JSON list, or its items with commas between them."""
        if not isinstance(items, str):
            return items
        if not items.startswith("["):
            return [item.strip() for item in items.split(",") if item]
        try:
            return json.loads(items)
        except json.JSONDecodeError:
            raise ValueError(f'{items!r} is no list; write ["A", "B"], or A,B') from None

    @field_validator("peers", "advertise")
    @classmethod
    def _peers(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check_peer(peer) for peer in peers))

    @field_validator("advertise")
    @classmethod
    def _advertise(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        if len(addresses) > ADDRESSES_MAX:
            raise ValueError(f"{len(addresses)} addresses; others remember {ADDRESSES_MAX} of a node, name the best")
        return addresses

    @field_validator("socks5")
    @classmethod
    def _proxy(cls, proxy: str) -> str:
        if proxy:
            read_proxy(proxy)
        return proxy

    @field_validator("dedup_windows")
    @classmethod
    def _windows(cls, windows: dict[str, float]) -> dict[str, float]:
        for pattern in windows:
            check_pattern(pattern)
        return windows

    @field_validator("critical")
    @classmethod
    def _critical(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        for topic in topics:
            check_topic(topic)
        return tuple(dict.fromkeys(topics))

    @field_validator("replicate")
    @classmethod
    def _replicate(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            check_pattern(pattern)
        return tuple(dict.fromkeys(patterns))

    @model_validator(mode="after")
    def _relations(self) -> NodeSettings:
        knobs(self.heartbeat_s, self.dead_after_s)
        if self.leaf and self.advertise:
            raise ValueError("a leaf is dialled by nobody; leave out advertise, or leaf")
        if self.leaf and self.listen not in ("", type(self).model_fields["listen"].default):
            raise ValueError(f"a leaf listens nowhere, and listen is {self.listen!r}; leave out listen, or leaf")
        return self

    @property
    def role(self) -> Role:
        """What this node is to the others."""
        return "leaf" if self.leaf else "peer"

    @property
    def accepts_at(self) -> str:
        """Where links are accepted: a leaf accepts none."""
        return "" if self.leaf else self.listen

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then variables, then the file (see the module's picture)."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, cls.toml_file)


def check_address(address: str) -> str:
    """Return a `tcp://HOST:PORT` address as it is; raise `ValueError` for anything else."""
    match = _ADDRESS.fullmatch(address)
    if not match or (match[2] != "*" and int(match[2]) > 65535):
        raise ValueError(f"{address!r} is no address; it looks like tcp://HOST:PORT")
    return address


def check_peer(address: str) -> str:
    """Return an address that can be dialled as it is; raise `ValueError` for one that only a listener can use."""
    if not names_a_place(check_address(address)):
        raise ValueError(f"{address!r} cannot be dialled; a peer has one host and one port, tcp://HOST:PORT")
    return address


def load_settings(file: Path | None = None, flags: dict[str, Any] | None = None) -> NodeSettings:
    """Gather the settings. `flags` holds only what was given on the command line. Raises `ConfigurationError`."""
    _check_variables()
    if file is not None:
        _check_file(file)
    source = type(
        "_Settings", (NodeSettings,), {"toml_file": file, "__annotations__": {"toml_file": ClassVar[Path | None]}}
    )
    try:
        settings: NodeSettings = source(**(flags or {}))
    except ValidationError as error:
        raise ConfigurationError(_say(error, file)) from None
    except SettingsError:  # of the variable of the only table
        said = f'{ENV_PREFIX}DEDUP_WINDOWS holds no table; write it as JSON, {{"PATTERN": 0}}'
        raise ConfigurationError(f"configuration of dedup_windows: {said}") from None
    return settings


def default_name() -> str:
    """The machine's host name, made to fit the grammar of node names."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname().partition(".")[0]).strip("-_")[:63]
    return name or "node"


def _check_variables() -> None:
    known = {ENV_PREFIX + key.upper() for key in NodeSettings.model_fields}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name.upper() not in known:
            raise ConfigurationError(f"environment variable {name} is not known; known are {', '.join(sorted(known))}")


def _check_file(file: Path) -> None:
    try:
        tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigurationError(f"configuration file {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {file} is no TOML: {error}") from None


def _say(error: ValidationError, file: Path | None) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"])) or "the settings"
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(NodeSettings.model_fields))
        return f"unknown configuration key {key!r}{f' in {file}' if file else ''}; known are {known}"
    return f"configuration of {key}: {first['msg'].removeprefix('Value error, ')}"
