"""Pieces of a page that opens offline: every text is escaped, every picture is inside."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence

from reports.statistics import Estimate
from reports.style import plain

GENERATOR = "adalin-rl report"
"""By this the page is known to be one of ours."""
STYLE = """
body { margin: 0 auto; max-width: 1000px; padding: 1.5rem 1.5rem 4rem; background: #fff;
  color: #1c1c1c; font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; }
h2 { font-size: 1.35rem; margin-top: 3rem; border-bottom: 2px solid #0072b2; }
h3 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
a { color: #005b8f; }
figure { margin: .6rem 0 1.4rem; }
figure img { width: 100%; height: auto; }
figcaption, .small { font-size: .86rem; color: #444; }
table { border-collapse: collapse; font-size: .86rem; margin: .6rem 0; }
.wide { overflow-x: auto; }
th, td { padding: .22rem .6rem; text-align: right; border-bottom: 1px solid #ddd;
  vertical-align: top; }
th { border-bottom: 2px solid #999; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td { white-space: nowrap; }
td.text { overflow-wrap: break-word; white-space: normal; max-width: 20rem; }
code { font-size: .85em; background: #f3f3f3; padding: 0 .2em; overflow-wrap: anywhere; }
.note { border-left: 4px solid #e69f00; padding: .3rem .8rem; background: #fff8ea; margin: .6rem 0;
  overflow-wrap: anywhere; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2 { break-before: page; } h2.first { break-before: auto; }
  figure, tr { break-inside: avoid; } .wide { overflow: visible; }
  h3 { break-after: avoid; } td { white-space: normal; }
  td.text { overflow-wrap: anywhere; } table { font-size: 8.5pt; }
}
"""


def esc(text: object) -> str:
    """Escapes a text, which may be a stranger's."""
    return html.escape(plain(text), quote=True)


def paragraph(text: object, kind: str = "") -> str:
    """Returns a paragraph."""
    return f'<p class="{kind}">{esc(text)}</p>' if kind else f"<p>{esc(text)}</p>"


def heading(level: int, text: object, anchor: str = "", kind: str = "") -> str:
    """Returns a heading."""
    marks = (f' id="{anchor}"' if anchor else "") + (f' class="{kind}"' if kind else "")
    return f"<h{level}{marks}>{esc(text)}</h{level}>"


def notes(texts: Sequence[str], most: int = 30) -> str:
    """Returns notes that a reader should not miss."""
    shown = list(dict.fromkeys(texts))
    more = [f"... and {len(shown) - most} more"] if len(shown) > most else []
    lines = "<br>".join(esc(text) for text in [*shown[:most], *more])
    return f'<div class="note">{lines}</div>' if lines else ""


def table(header: Sequence[str], rows: Sequence[Sequence[object]], text: Sequence[int] = ()) -> str:
    """Returns a table; ``text`` are the columns that hold texts, which stand on the left."""

    def cells(values: Sequence[object], tag: str) -> str:
        kinds = (' class="text"' if i in text else "" for i in range(len(values)))
        return "".join(
            f"<{tag}{kind}>{esc(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def figure(svg: bytes, title: str, caption: str, files: Sequence[str]) -> str:
    """Returns a figure with its caption, and links to the files beside the page, if any."""
    source = base64.b64encode(svg).decode()
    links = ", ".join(f'<a href="{esc(file)}">{esc(file.rpartition(".")[2])}</a>' for file in files)
    return (
        f'<figure><img alt="{esc(title)}" src="data:image/svg+xml;base64,{source}">'
        f"<figcaption>{esc(caption)}{f' Files: {links}.' if files else ''}</figcaption></figure>"
    )


def document(title: str, parts: Sequence[str]) -> str:
    """Returns the page."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="generator" content="{GENERATOR}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def number(value: float) -> str:
    """Writes a number with three digits or so; a dash stands for none."""
    if not math.isfinite(value):
        return "–"  # noqa: RUF001
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def cell(of: Estimate) -> str:
    """Writes a number with its interval, if it has one."""
    if not math.isfinite(of.low):
        return number(of.value)
    return f"{number(of.value)} ({number(of.low)} to {number(of.high)})"
