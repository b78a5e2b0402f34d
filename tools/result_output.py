"""How the searches for faults give their result."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def give_result(result: Mapping[str, Any], output: Path | None) -> None:
    """As JSON on standard output, and in a file where one was asked for."""
    text = json.dumps(result, indent=2) + "\n"
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
