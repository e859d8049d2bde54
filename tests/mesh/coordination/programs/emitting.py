"""Calls functions by name, as a program of its own. Standard input has one JSON array a line: module, function, keyword
arguments; a string `DataEventType.X` among them is that member.

Prints, a line each, the status of the receipt, or the error's class and message.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import mesh
from mesh.coordination.event_types import DataEventType


def read(value: Any) -> Any:
    name = value.removeprefix("DataEventType.") if isinstance(value, str) else value
    return value if name == value else DataEventType[name]


def call(line: str) -> mesh.Receipt | mesh.MeshError:
    module, function, arguments = json.loads(line)
    try:
        receipt: mesh.Receipt = getattr(import_module(module), function)(
            **{key: read(value) for key, value in arguments.items()}
        )
    except mesh.MeshError as error:
        return error
    return receipt


for outcome in [call(line) for line in sys.stdin]:
    if isinstance(outcome, mesh.MeshError):
        print(f"{type(outcome).__name__}: {outcome}")
    else:
        print(outcome.wait(20).status)
