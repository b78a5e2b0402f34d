"""Fenced blocks of the documents: which are run, and which are not and why."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>.+?) -->\n)?^(?P<indent>[ ]*)```(?P<kind>\w*)\n(?P<text>.*?)^[ ]*```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
KINDS = {"console", "sh", "python"}
"""What a reader would type or run. A block of such a kind is run, or says above itself why not."""


@dataclass(frozen=True)
class Block:
    """One of those kinds. ``not_run``: the reason, in ``<!-- not run: reason -->`` above it."""

    document: str
    kind: str
    text: str
    not_run: str

    @property
    def lines(self) -> list[str]:
        """Commands of a console or a shell, without prompt and comment; continued lines are joined."""
        text = re.sub(r"\\\n\s*", "", self.text)
        typed = [line.strip() for line in text.splitlines()]
        if self.kind == "console":
            typed = [line.removeprefix("$ ") for line in typed if line.startswith("$ ")]
        return [line.split(" #")[0].rstrip() for line in typed if line and not line.startswith("#")]


def blocks(root: Path, document: str) -> Iterator[Block]:
    """Those of a document, in their order."""
    for found in FENCED.finditer((root / document).read_text(encoding="utf-8")):
        if found["kind"] in KINDS:
            text = re.sub(rf"(?m)^{found['indent']}", "", found["text"])
            yield Block(document, found["kind"], text, found["reason"] or "")
