"""The HTML of a report: text made safe, tables, and the document with its style sheet.

Arguments called `html` and the cells of tables are HTML already; everything else is text and is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from xclassic._version import __version__

# Characters that HTML does not allow, that are unreadable, or that can reorder the text around them.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
DASH = "\N{EN DASH}"

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fff; --panel: #f6f7f8; --ink: #1b1f24; --muted: #59626d; --rule: #d5d9de;
  --first: #1f5fa8; --second: #a8480b; --right: #1a6b3c; --wrong: #a32222;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --panel: #1d2127; --ink: #e4e7ea; --muted: #a3acb6; --rule: #3a414a;
    --first: #7fb4ee; --second: #eda467; --right: #7fcf9d; --wrong: #f09a9a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  max-width: 54rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1.25rem; }
h2 {
  margin: 3rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--rule); font-size: 1.25rem; line-height: 1.3;
}
h3 { font-size: 1rem; margin: 0 0 0.5rem; }
p { margin: 0.5rem 0; max-width: 42rem; }
a { color: var(--first); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }
dl { display: grid; grid-template-columns: fit-content(14rem) minmax(0, 1fr); gap: 0.2rem 1.25rem; margin: 0.75rem 0; }
dt { color: var(--muted); }
dd { margin: 0; }
.facts { padding: 0.9rem 1.1rem; background: var(--panel); border-radius: 6px; }
.note, .terms { color: var(--muted); font-size: 0.9rem; }
.terms dt { color: var(--ink); }
.wide { margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; min-width: 60%; font-variant-numeric: tabular-nums; font-size: 0.93rem; }
caption { padding-bottom: 0.4rem; text-align: left; font-weight: 600; }
th, td { padding: 0.2rem 0.7rem; text-align: right; vertical-align: baseline; overflow-wrap: normal; }
td, tbody th { white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom: 1px solid var(--muted); color: var(--muted); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 400; }
tbody th, tbody td { border-bottom: 1px solid var(--rule); }
tbody th[scope=rowgroup] { padding-top: 1rem; text-align: left; font-weight: 600; }
.text { text-align: left; }
tbody .text { min-width: 6rem; }
tbody th[scope=rowgroup], table bdi, table i { white-space: normal; overflow-wrap: anywhere; }
figure { max-width: 39rem; margin: 1rem 0; }
figcaption { margin-bottom: 0.4rem; font-weight: 600; font-size: 0.93rem; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; }
svg text { font-family: inherit !important; }
.cards {
  display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr));
}
article { padding: 0.9rem 1.1rem; border: 1px solid var(--rule); border-radius: 6px; font-size: 0.93rem; }
article p { margin: 0 0 0.6rem; }
article ul, article ol { margin: 0 0 0.6rem; padding: 0; list-style: none; }
article ul:last-child, article ol:last-child { margin-bottom: 0; }
article li { display: grid; grid-template-columns: 1.3rem minmax(0, 1fr) max-content; gap: 0.3rem; }
article li .score { font-variant-numeric: tabular-nums; }
.right { color: var(--right); font-weight: 600; }
.wrong { color: var(--wrong); font-weight: 600; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { margin-top: 3rem; color: var(--muted); font-size: 0.85rem; }
@media (max-width: 32rem) {
  body { padding: 1.25rem 1rem 2rem; }
  h1 { font-size: 1.4rem; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 0.4rem; }
  table { width: 100%; font-size: 0.85rem; }
  th, td { padding: 0.25rem 0.35rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2, h2 + p, figcaption { break-after: avoid; }
  .wide:not(:has(tbody + tbody)), tbody, p, figure, article { break-inside: avoid; }
  .wide { overflow: visible; }
  .cards { grid-template-columns: 1fr 1fr; }
}
"""


def safe(value: Any, longest: int) -> str:
    """Return a value as escaped, printable text of one line and at most `longest` characters."""
    text = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))
    return escape(text if len(text) <= longest else text[: longest - 1].rstrip() + "…")


def isolated(value: Any, longest: int) -> str:
    """Return a value as HTML whose writing direction does not affect the text around it."""
    return f"<bdi>{safe(value, longest)}</bdi>"


def number(value: int) -> str:
    """Return a whole number with its thousands separated."""
    return f"{value:,}"


def percent(value: float) -> str:
    """Return a share in percent, or a dash for NaN."""
    return DASH if value != value else f"{100 * value:.2f}"


def table(
    caption: str, columns: Sequence[str], bodies: Mapping[str, Sequence[Sequence[str]]], *, texts: int = 1
) -> str:
    """Return a table.

    Parameters
    ----------
    caption : str
    columns : sequence of str
        Headings of the columns.
    bodies : mapping of str to rows of cells
        Groups of rows, each by its heading, which may be empty. The first cell of a row is its heading.
    texts : int, default=1
        How many columns hold text and are set flush left.
    """
    head = "".join(f"<th scope=col{_aligned(i, texts)}>{escape(name)}</th>" for i, name in enumerate(columns))
    parts = [f"<thead><tr>{head}</tr></thead>"]
    for heading, rows in bodies.items():
        above = f"<tr><th scope=rowgroup colspan={len(columns)}>{escape(heading)}</th></tr>\n" if heading else ""
        parts.append(f"<tbody>\n{above}{''.join(_row(row, texts) for row in rows)}</tbody>")
    # A table that is wider than a phone scrolls on its own, also with the keyboard.
    return (
        f'<div class=wide role=region aria-label="{escape(caption)}" tabindex=0>\n<table>'
        f"<caption>{escape(caption)}</caption>\n{''.join(parts)}\n</table></div>\n"
    )


def _row(cells: Sequence[str], texts: int) -> str:
    first, *others = cells
    rest = "".join(f"<td{_aligned(i, texts)}>{cell}</td>" for i, cell in enumerate(others, 1))
    return f"<tr><th scope=row{_aligned(0, texts)}>{first}</th>{rest}</tr>\n"


def _aligned(column: int, texts: int) -> str:
    return " class=text" if column < texts else ""


def definitions(entries: Mapping[str, str], kind: str) -> str:
    """Return terms and their definitions as a list of class `kind`."""
    items = "".join(f"<dt>{term}</dt><dd>{html}</dd>\n" for term, html in entries.items())
    return f"<dl class={kind}>\n{items}</dl>\n"


def figure(caption: str, svg: str) -> str:
    """Return a figure with its caption above it."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>\n{svg}</figure>\n"


def document(title: str, introduction: str, sections: Mapping[str, tuple[str, str]]) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
        Text that is already safe.
    introduction : str
        HTML below the title.
    sections : mapping of str to (str, str)
        Heading and HTML by the id of the section.
    """
    links = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, (name, _) in sections.items())
    parts = "".join(
        f"<section id={key} aria-labelledby={key}-h>\n<h2 id={key}-h>{escape(name)}</h2>\n{html}</section>\n"
        for key, (name, html) in sections.items()
    )
    # The policy holds even if something unescaped slips through: no script runs, and nothing is fetched.
    return f"""<!DOCTYPE html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta http-equiv=Content-Security-Policy content="default-src 'none'; style-src 'unsafe-inline'">
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{introduction}<nav aria-label=Sections><ul>{links}</ul></nav>
</header>
<main>
{parts}</main>
<footer>Written by xclassic {escape(__version__)}.</footer>
</body>
</html>
"""
