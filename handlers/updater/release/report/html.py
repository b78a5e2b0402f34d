"""``report.html``: one file without outside resources or scripts; everything that comes from outside is escaped."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from handlers.bucket.report_document import Change, Report

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
LONGEST_NAME = 40
SHADES = 8
"""Steps of the matrix's colour; ``report.css`` has as many."""


def policy(style: str) -> str:
    """The Content-Security-Policy under which a report is shown: its own style, its own pictures, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def policy_of(page: str) -> str:
    """The policy of a stored page, whose style may be an earlier release's."""
    return policy(page.partition("<style>")[2].partition("</style>")[0])


def render(report: Report) -> str:
    """The page."""
    sections = (
        _summary(report),
        _incoming(report),
        _rejections(report),
        _classes(report),
        _taken(report),
        _matrix(report),
        _confusions(report),
        _mistakes(report),
        _seconds(report),
    )
    title = f"Version {report.version}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy(STYLE).split("; base-uri")[0])}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{_header(report)}\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    kinds = {
        "learnt": "learnt",
        "provisional": "provisional: imprinted, training follows",
        "edited": "edited, without training",
    }
    gate = _chip("passed the gate", "good") if report.gate.passed else _chip("refused by the gate", "bad")
    parent = f"from version {report.parent}" if report.parent is not None else "the first version"
    made = report.created_at.strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"<header><h1>Version {report.version}</h1>{_chip(kinds[report.kind], '')}{gate}"
        f'<span class="soft">{parent}, update {escape(report.update_id)}, {made}</span></header>'
    )


def _summary(report: Report) -> str:
    figures = report.accuracy
    tiles = [
        ("accuracy, all classes", _percent(figures.all)),
        ("old classes, before", _percent(figures.before_old)),
        ("old classes, now", _percent(figures.old)),
        ("new classes", _percent(figures.new)),
        ("nearest mean, all", _percent(figures.nearest_mean)),
        ("forgetting", _percent(figures.forgetting)),
        ("classes", str(report.class_count)),
        ("evaluation images", str(figures.images)),
    ]
    cells = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in tiles)
    asked = f"<p>Asked for: <b>{escape(report.asked)}</b></p>" if report.asked else ""
    reasons = "".join(f'<p class="bad">{escape(reason)}</p>' for reason in report.gate.reasons)
    return _section("Result", f'{asked}{reasons}<div class="tiles">{cells}</div>', "wide")


def _incoming(report: Report) -> str:
    if report.kind == "edited":
        return ""
    chips = {"new": _chip("new", "good"), "known": _chip("more images", ""), "none": _chip("not learnt", "warn")}
    rows = [
        (_name(row.name), chips[row.state], _number(row.trained), _number(row.held_out), _number(row.rejected))
        for row in report.incoming
    ]
    heads = ("Class", "", "#Trained on", "#Held out", "#Rejected")
    return _section("What came in", _table(heads, rows) + _more(report.incoming_left_out, "classes"))


def _rejections(report: Report) -> str:
    if report.kind == "edited":
        return ""
    if not report.rejections:
        return _section("What was rejected", '<p class="soft">Nothing.</p>')
    rows = [
        (_number(row.count), escape(row.reason), "<br>".join(_name(key) for key in row.examples))
        for row in report.rejections
    ]
    body = _table(("#Files", "Why", "For example"), rows) + _more(report.rejections_left_out, "reasons")
    return _section("What was rejected", body)


def _classes(report: Report) -> str:
    rows = [
        (
            _name(row.name) + (" " + _chip("new", "good") if row.is_new else ""),
            _number(row.images),
            _percent(row.before),
            _percent(row.after),
            _bar(row),
        )
        for row in report.classes
    ]
    body = _table(("Class", "#Images", "#Before", "#Now", ""), rows) + _more(report.classes_left_out, "classes")
    return _section("Accuracy by class", f'<div class="scroll">{body}</div>')


def _taken(report: Report) -> str:
    counts = report.taken
    old = counts.old_right + counts.old_as_old + counts.old_as_new
    new = counts.new_right + counts.new_as_new + counts.new_as_old

    def row(name: str, values: Sequence[int], total: int) -> tuple[str, ...]:
        shares = [f'{value} <span class="soft">{_percent(value / total)}</span>' for value in values]
        return (name, *shares)

    rows = []
    if old:
        rows.append(row("old classes", (counts.old_right, counts.old_as_old, counts.old_as_new), old))
    if new:
        rows.append(row("new classes", (counts.new_right, counts.new_as_old, counts.new_as_new), new))
    heads = ("Pictures of", "#Right", "#Taken for a wrong old class", "#Taken for a wrong new class")
    if not rows:
        return _section("Old and new", '<p class="soft">Nothing was measured.</p>')
    marked = [tuple(f'<span class="figures">{cell}</span>' if i else cell for i, cell in enumerate(r)) for r in rows]
    return _section("Old and new", _table(heads, marked))


def _matrix(report: Report) -> str:
    if report.matrix is None or not report.matrix_classes:
        return ""
    names = report.matrix_classes
    head = "".join(f'<th scope="col">{_name(name, 12)}</th>' for name in names)
    body = ""
    for i, (name, counts) in enumerate(zip(names, report.matrix, strict=True)):
        total = max(1, sum(counts))
        cells = "".join(
            f'<td class="{"r" if i == j else "w"}{_shade(count / total)}">{count or ""}</td>'
            for j, count in enumerate(counts)
        )
        body += f'<tr><th scope="row">{_name(name, 20)}</th>{cells}</tr>'
    table = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    note = '<p class="soft">Rows: the true class. Columns: the answer.</p>'
    return _section("Confusion", f'<div class="scroll">{table}</div>{note}')


def _confusions(report: Report) -> str:
    if not report.confusions:
        return _section("Most frequent mistakes", '<p class="soft">None.</p>')
    rows = [(_name(row.true), _name(row.predicted), row.kind, _number(row.count)) for row in report.confusions]
    table = _table(("Is", "Was taken for", "Kind", "#Pictures"), rows)
    return _section("Most frequent mistakes", f'<div class="scroll">{table}</div>')


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return ""
    cards = "".join(
        f'<figure><img src="data:image/png;base64,{escape(one.png)}" alt="a picture of {escape(one.true)}">'
        f"<figcaption><b>{_name(one.true, 24)}</b><span>taken for {_name(one.predicted, 24)}, "
        f"{_percent(one.probability)} sure</span></figcaption></figure>"
        for one in report.mistakes
    )
    return _section("Pictures it gets wrong", f'<div class="gallery">{cards}</div>', "wide")


def _seconds(report: Report) -> str:
    facts = "".join(
        f'<span><span class="soft">{escape(name)}</span> <b>{value:.1f} s</b></span>'
        for name, value in report.seconds.items()
    )
    return _section("Time", f'<div class="facts">{facts}</div>', "wide") if facts else ""


def _section(title: str, body: str, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{title}</h2>{body}</section>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are markup already; a head that begins with ``#`` is of a column of numbers."""
    kinds = ["number" if head.startswith("#") else "" for head in heads]
    head = "".join(
        f'<th scope="col" class="{kind}">{name.lstrip("#")}</th>' for name, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{k}">{cell}</td>' for cell, k in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _bar(row: Change) -> str:
    """Now as a bar, before as a line across it."""
    width = 100 * (row.after or 0.0)
    mark = (
        "" if row.before is None else f'<rect class="before" x="{100 * row.before - 0.6:.1f}" width="1.2" height="10"/>'
    )
    now = f'<rect class="{"new" if row.is_new else "old"}" width="{width:.1f}" height="10"/>'
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/>{now}{mark}</svg>'
    )


def _name(text: str, longest: int = LONGEST_NAME) -> str:
    short = text if len(text) <= longest else text[: longest - 1] + "\u2026"
    return f'<span class="name" title="{escape(text)}">{escape(short)}</span>'


def _chip(text: str, kind: str) -> str:
    return f'<span class="chip {kind}">{text}</span>'


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}\u202f%"


def _shade(share: float) -> int:
    return 0 if share <= 0 else max(1, round(share * (SHADES - 1)))


def _more(count: int, what: str) -> str:
    return f'<p class="soft">and {count} more {what}</p>' if count else ""
