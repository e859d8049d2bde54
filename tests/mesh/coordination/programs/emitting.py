"""Calls typed emitters, as a program of its own: standard input has one JSON array a line, module, function, payload.

Prints, a line each, the status of the receipt, or the error's class and message.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import mesh
from mesh.coordination import default_catalog


def main() -> None:
    default_catalog()
    receipts: list[mesh.Receipt | Exception] = []
    for line in sys.stdin:
        module, function, payload = json.loads(line)
        try:
            receipts.append(getattr(import_module(module), function)(**payload))
        except mesh.MeshError as error:
            receipts.append(error)
    for receipt in receipts:
        if isinstance(receipt, Exception):
            print(f"{type(receipt).__name__}: {receipt}")
        else:
            print(receipt.wait(20).status)


main()
