"""``report.html``: one file without outside resources or scripts, made by ``report.html.j2``."""

from pathlib import Path

from handlers.bucket.report_document import Report
from handlers.templates import policy_hash, render_page, source

SHADES = 8
"""Steps of the matrix's colour; ``report.css`` has as many."""
_FOLDER = Path(__file__).parent


def style() -> str:
    """The style of the reports that this release writes."""
    return source(_FOLDER / "report.css")


def policy(style: str) -> str:
    """The Content-Security-Policy under which a report is shown: its own style, its own images, nothing else."""
    return (
        f"default-src 'none'; style-src {policy_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def policy_of(page: str) -> str:
    """The policy of a stored page, whose style may be an earlier release's."""
    return policy(page.partition("<style>")[2].partition("</style>")[0])


def render(report: Report) -> str:
    """The page of a report; names of classes and files are escaped by the template."""
    css = style()
    return render_page(
        _FOLDER / "report.html.j2",
        {"percent": _percent, "between": _between, "number": _number, "shade": _shade, "shorten": _shorten},
        report=report,
        style=css,
        # A page may not set these two directives in its own head: only a header can.
        policy=policy(css).partition("; base-uri")[0],
        tiles=_tiles(report),
        taken=_taken(report),
    )


def _tiles(report: Report) -> list[tuple[str, str]]:
    """Value and name of each figure at the top."""
    figures = report.accuracy
    between = ""
    if figures.interval is not None:
        between = f" ({100 * figures.interval[0]:.1f}\u2013{_percent(figures.interval[1])} with 95\u202f% probability)"
    return [
        (_percent(figures.all), f"accuracy, all classes{between}"),
        (_percent(figures.before_old), "old classes, before"),
        (_percent(figures.old), "old classes, now"),
        (_percent(figures.new), "new classes"),
        (_percent(figures.nearest_mean), "nearest mean, all"),
        (_percent(figures.forgetting), "forgetting"),
        (str(report.class_count), "classes"),
        (str(figures.images), "evaluation images"),
    ]


def _taken(report: Report) -> list[tuple[str, tuple[int, int, int]]]:
    """Of old and of new classes: how many images were right, taken for an old class, taken for a new one."""
    counts = report.taken
    rows = [
        ("old classes", (counts.old_right, counts.old_as_old, counts.old_as_new)),
        ("new classes", (counts.new_right, counts.new_as_old, counts.new_as_new)),
    ]
    return [(name, values) for name, values in rows if sum(values)]


def _shorten(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}\u202f%"


def _between(interval: tuple[float, float] | None) -> str:
    """The 95 % interval of a class, behind its accuracy."""
    return "" if interval is None else f" ({100 * interval[0]:.1f}\u2013{100 * interval[1]:.1f})"


def _shade(share: float) -> int:
    return 0 if share <= 0 else max(1, round(share * (SHADES - 1)))
