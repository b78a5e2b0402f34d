"""Mutants of a file: without one hold, precondition, sync or refusal, or with two neighbouring writes exchanged."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

DROPPED_CALLS = frozenset(
    {"hold", "_hold", "confirm", "fsync", "sync_folder", "begin_epoch", "end_removal", "_tidy"}
    | {"point_to", "forget", "clear", "keep", "put_back", "set_default", "unregister", "listen", "check_canary", "_try"}
)
"""Statements that call one of these are taken out."""
DROPPED_REFUSALS = frozenset(
    {"PreconditionFailedError", "LeaseLostError", "SupersededError"}
    | {"CannotLoadError", "LineLostError", "UnusableVersionError", "ProbeError", "LookupError", "_VersionError"}
)
"""A condition under which nothing is done but to raise one of these is never true."""
ORDERED_CALLS = frozenset(
    {"write", "replace", "move", "delete", "upload", "rename", "unlink", "fsync", "sync_folder"}
    | {"_create_files", "_upload_aside", "_seal", "_complete", "_tidy"}
    | {"point_to", "symlink_to", "_try", "register", "_start_workers", "listen"}
)
"""Two neighbouring statements that each call one of these are exchanged."""


@dataclass(frozen=True)
class Mutant:
    """A changed source, and what was changed where."""

    line: int
    what: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    for index, found in enumerate(ast.walk(tree)):
        if not isinstance(found, ast.Expr | ast.If | ast.Call) or _mutate(copy.deepcopy(found)) is None:
            continue  # copies of the whole tree are made for mutants only: for every node they take minutes
        changed = copy.deepcopy(tree)
        node = next(islice(ast.walk(changed), index, None))
        what = str(_mutate(node))
        yield Mutant(found.lineno, what, ast.unparse(ast.fix_missing_locations(changed)))
    yield from _exchanged(tree)


def _exchanged(tree: ast.Module) -> Iterator[Mutant]:
    for node in ast.walk(tree):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(body, list) or isinstance(node, ast.Module | ast.ClassDef):
                continue
            for index in range(len(body) - 1):
                first, second = body[index : index + 2]
                if _writes(first) and _writes(second):
                    body[index : index + 2] = [second, first]
                    what = f"{ast.unparse(second).splitlines()[0][:50]} too early"
                    yield Mutant(second.lineno, what, ast.unparse(ast.fix_missing_locations(tree)))
                    body[index : index + 2] = [first, second]


def _writes(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Call) and _name(node.func) in ORDERED_CALLS for node in ast.walk(statement))


def _mutate(node: ast.AST) -> str | None:
    """Change a node in place; say what was changed, or None where there is nothing to change."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        name = _name(node.value.func)
        if name in DROPPED_CALLS:
            what = f"without {ast.unparse(node)[:60]}"
            node.value = ast.Constant(value=None)
            return what
    if isinstance(node, ast.If) and len(node.body) == 1 and not node.orelse and _refuses(node.body[0]):
        node.test = ast.Constant(value=False)
        return "without a refusal"
    if isinstance(node, ast.Call):
        return _weaken(node)
    return None


def _refuses(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Raise)
        and isinstance(statement.exc, ast.Call)
        and _name(statement.exc.func) in DROPPED_REFUSALS
    )


def _weaken(call: ast.Call) -> str | None:
    """Take the condition of a write or a move away."""
    for keyword in call.keywords:
        if keyword.arg == "only_if_absent" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True:
            keyword.value = ast.Constant(value=False)
            return f"{_name(call.func)}() replaces what is there"
        if keyword.arg == "expected_etag" and isinstance(call.func, ast.Attribute):
            if call.func.attr == "replace":
                call.func.attr = "write"
                call.keywords = []
                return "replace() without its condition"
            if call.func.attr == "move":
                call.keywords = []
                return "move() of whatever is there"
    return None


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
