"""What every benchmark says of its machine, and where its result goes."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any


def machine() -> str:
    """Cores, architecture, Python."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def show(result: dict[str, Any], output: Path | None) -> None:
    """Print it as JSON, and write it to ``output`` if that is given."""
    text = json.dumps(result, indent=2) + "\n"
    if output is not None:
        output.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
