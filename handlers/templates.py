"""Pages from templates: every value that a template shows is escaped, styles and scripts are files beside it."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: Path, filters: dict[str, Callable[..., object]] | None = None, **values: Any) -> str:
    """The page that ``template`` makes of ``values``; a value that the template needs and does not get is an error."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template.name).render(values)


def source(path: Path) -> Markup:
    """A style or script of ours, which a template shows as it is."""
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - a file of this package, nothing from outside


def policy_hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows exactly this inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
