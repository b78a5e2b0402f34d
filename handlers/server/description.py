"""The OpenAPI description of the inference port, and the version of this software. Standard library and PyYAML.

``python -m handlers.server.description`` prints the description, for tools that want a file and have no server.
"""

import json
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import yaml

OPENAPI_FILE: Final = Path(__file__).with_name("openapi.yaml")


def software_version() -> str:
    """Of the installed package ``lucir``; ``unknown`` in a source tree that was never installed."""
    try:
        return version("lucir")
    except PackageNotFoundError:
        return "unknown"


def openapi() -> dict[str, Any]:
    """The description as a document."""
    document: dict[str, Any] = yaml.safe_load(OPENAPI_FILE.read_text(encoding="utf-8"))
    document["info"]["version"] = software_version()
    return document


@cache
def openapi_json() -> bytes:
    """The description as it is sent."""
    return json.dumps(openapi(), ensure_ascii=False).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(openapi_json() + b"\n")
