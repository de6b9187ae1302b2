"""What is wrong, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def one_line(error: Exception) -> str:
    """Returns what an error says as one line of about 600 characters at most.

    It may quote a stranger's file, in which some characters would steer the terminal.
    """
    text = " ".join(str(error).split())
    if len(text) > 600:
        text = f"{text[:400]} ... {text[-200:]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no such name, and which one is near."""
    near = get_close_matches(name, sorted(known), n=1)
    listed = kind in ("activation", "mitigation")
    where = f"--list-{kind}s shows all." if listed else "--help lists all flags."
    hint = f"Did you mean {near[0]!r}?" if near else where
    return f"there is no {kind} {name!r}. {hint}"


def unboxed(text: str) -> str:
    """Takes tyro's message out of the box that it draws for a person's eyes."""
    # The message stands between the first two rules, help behind them. ASCII gets dashes.
    lines = [line.strip("│| ") for line in text.splitlines()]
    rules = [i for i, line in enumerate(lines) if line.startswith(("╭", "╰", "───", "---", "+-"))]
    begin, end = (*rules, len(lines), len(lines))[:2]
    message = " ".join(lines[begin + 1 : end] or lines)
    message = re.sub(r"^Error parsing (Config: )?", "", message)
    return _EITHER.sub(r"should be \1 or of type \2. Received '\3'", message)


_EITHER = re.compile(r"no type matching \{(.+)\}\|(\w+) could .* from \['(.*?)'\]\.\s+Got.*")
