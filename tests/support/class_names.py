"""Names that no class may have, whichever way they come in."""

from typing import Final

NO_CLASS_NAMES: Final = {
    "": "not a class name",
    " ": "not a class name",
    "\u3000\u00a0": "not a class name",
    ".": "not a class name",
    "..": "not a class name",
    "a/b": "holds a '/'",
    "/": "holds a '/'",
    " cat": "begins or ends with a blank",
    "cat\u00a0": "begins or ends with a blank",
    "_hidden": "underscore",
    "_READY": "underscore",
    "__MACOSX": "underscore",
    "a\nb": "control character",
    "a\x7fb": "control character",
    "a\u2028b": "control character",
    "a\udc80b": "control character",
    "\ufffdb": "not UTF-8",
    "x" * 101: "101 characters",
    "x" * 300: "300 characters",
    "猫" * 86: "258 bytes",
    "...": "begins with a dot",
    ".ipynb_checkpoints": "begins with a dot",
    ".Trash-1000": "begins with a dot",
    "lost+found": "belongs to a program or to the system",
    "Thumbs.db": "belongs to a program or to the system",
    "@eaDir": "belongs to a program or to the system",
    "$RECYCLE.BIN": "belongs to a program or to the system",
    "~$cat": "belongs to a program or to the system",
    "cat.part": "unfinished copy",
    "Cat.tmp": "unfinished copy",
    "cat~": "unfinished copy",
}
"""With what is said of each."""
