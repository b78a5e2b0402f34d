"""The page as a screen reader gets it: Chromium's accessibility tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

CONTROLS = {
    *("button", "link", "textbox", "searchbox", "combobox", "checkbox", "progressbar", "meter", "slider", "listbox"),
    *("DisclosureTriangle", "image", "img", "dialog", "navigation", "region", "table", "search"),
}
"""Roles that say nothing without a name."""
HEADS = {"columnheader", "rowheader"}


@dataclass(frozen=True)
class Heard:
    """One node. ``level``: of a heading, else 0."""

    role: str
    name: str
    level: int
    parents: tuple[str, ...]


def heard(page: Page) -> list[Heard]:
    """All that is not left out, in the order of the document; what lies behind an open dialog is left out."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    return list(_walk(nodes[0], by_id, ()))


def _walk(node: dict[str, Any], by_id: dict[str, dict[str, Any]], parents: tuple[str, ...]) -> Iterator[Heard]:
    role = str(node.get("role", {}).get("value", ""))
    if not node["ignored"]:
        levels = [one["value"]["value"] for one in node.get("properties", ()) if one["name"] == "level"]
        name = str(node.get("name", {}).get("value", "")).strip()
        yield Heard(role, name, int(levels[0]) if role == "heading" else 0, parents)
        parents = (*parents, role)
    for child in node.get("childIds", ()):
        if child in by_id:
            yield from _walk(by_id[child], by_id, parents)


def faults(page: Page) -> list[str]:
    """Controls and images without a name, headings that leave out a level, tables without heads, no language."""
    nodes = heard(page)
    found = [
        f"{node.role} without a name in {node.parents[-3:]}"
        for node in nodes
        if node.role in CONTROLS and not node.name
    ]
    before = 1 if any(node.role == "dialog" for node in nodes) else 0
    for heading in (node for node in nodes if node.role == "heading"):
        if heading.level > before + 1:
            found.append(f"heading {heading.name!r} has level {heading.level} after {before}")
        before = heading.level
    tables = sum(node.role == "table" for node in nodes)
    if tables and not any(node.role in HEADS for node in nodes):
        found.append("a table without heads")
    if not page.evaluate("document.documentElement.lang"):
        found.append("no language of the page")
    return found
