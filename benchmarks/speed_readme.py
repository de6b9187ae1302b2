"""The part of the README that ``speed.py`` writes."""

from __future__ import annotations

from typing import Any

from speed_contenders import GOALS, NAMES
from speed_ratios import against, middle_half, times

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"


def replace(text: str, lines: list[str]) -> str:
    """Returns the text with ``lines`` between the two markers.

    Raises:
        ValueError: If each marker is not there once, the begin before the end.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the text should hold {BEGIN} and then {END}, each once")
    before, _, rest = text.partition(BEGIN)
    return "\n".join([before + BEGIN, *lines, END + rest.partition(END)[2]])


def section(result: dict[str, Any]) -> list[str]:
    """Returns the table of ratios to others, and a line each on seeds at once and on updates."""
    lines = []
    if "peers" in result:
        lines += [*table(result["peers"]), ""]
    if "seeds" in result:
        one, *others = result["seeds"].items()
        each = (f"{name} {middle_half(times(entry, one[1]))[1]:.1f}" for name, entry in others)
        lines += [f"Steps per second as multiples of {one[0]}: {'; '.join(each)}.", ""]
    if "updates" in result:
        each = (
            f"{NAMES[row['work']]}, {row['seeds']} seed{'s' * (row['seeds'] > 1)} "
            f"{row['compiled'] / row['products']:.2f} ({1e3 * row['compiled']:.1f} ms)"
            for row in result["updates"]
        )
        lines += [f"A compiled update as a multiple of its bare products: {'; '.join(each)}.", ""]
    return lines[:-1]


def table(found: dict[str, Any]) -> list[str]:
    """Returns a row for each of ours that has a goal."""
    lines = [
        "| steps per second, as multiples (below 1: ours is slower) "
        "| of SB3's | of SBX's | with `adalin-relu`, of SB3's with ReLU |",
        "|---|---|---|---|",
    ]
    for work, ours in dict.fromkeys((work, ours) for work, ours, _ in GOALS):
        with_adalin = f"{ours} --activation adalin-relu"
        cells = []
        for who, package in ((ours, "sb3"), (ours, "sbx"), (with_adalin, "sb3")):
            named = [x for w, o, x in GOALS if (w, o) == (work, ours) and x.startswith(package)]
            each = [x for other in named for x in against(found, work, who, other)]
            cells.append(f"{middle_half(each)[1]:.1f}" if each else "")
        what = f"{NAMES[work]}, `{ours.removeprefix('ours ')}`"
        what += ", all seeds together" if "--num-seeds" in ours else ""
        what += ", as theirs with `train_freq=4`" if "--dqn.learn-every 4" in ours else ""
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines
