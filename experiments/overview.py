"""All worlds of an experiment on one page: which arms are good, and what became of hypotheses."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from inside import cell
from matplotlib.figure import Figure
from protocol import Protocol, Table
from results import FOLDER, differences, judged, level_of, reached, seeds, signed

from training.summary import interval

COLUMNS = 3
"""Of the figure."""


def write_overview(protocol: Protocol, folder: Path = FOLDER) -> None:
    """Writes ``<experiment>.md`` and ``.png`` of the worlds that have results."""
    files = {world: folder / f"{world}.csv" for world in protocol.worlds}
    found = {world: stored(protocol, file) for world, file in files.items() if file.exists()}
    missing = [world for world in protocol.worlds if world not in found]
    links = " | ".join(f"[{world}]({world}.md)" for world in found)
    rank = ranks(found)
    name = protocol.name
    lines = [
        f"# {name}: all worlds",
        "",
        f"`python experiments/run.py {name}`; protocol: `experiments/{name.replace('-', '_')}.py`.",
        f"Numbers are {protocol.unit}, mean of all visits and seeds (95% interval over the seeds,",
        "Student's t); rank 1 is the best of a world.",
        *([f"Without results yet: {', '.join(missing)}."] if missing else []),
        "",
        f"![{name}]({name}.png)",
        "",
        f"| arm | {links} | mean rank |",
        "|---|" + "---|" * (len(found) + 1),
    ]
    for arm in sorted(protocol.arms, key=lambda arm: rank[arm]):
        cells = (reached(arms[arm], protocol.form) for arms in found.values())
        lines.append(f"| {arm} | {' | '.join(cells)} | {rank[arm]:.1f} |")
    lines += ["", f"| hypothesis | {links} | |", "|---|" + "---|" * (len(found) + 1)]
    rows: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for world, arms in found.items():
        turn = protocol.worlds[world].turn
        for text, (against, difference) in differences(protocol, arms, turn).items():
            level = level_of(against, arms)
            decided = judged(difference, level)
            counts[text][decided] += 1
            aside = f", against {against} ({level:.1%} interval)" if against else ""
            rows[text].append(f"{cell(difference, signed(protocol.form), level)} {decided}{aside}")
    for text, cells_of in rows.items():
        total = ", ".join(f"{count} {what}" for what, count in counts[text].most_common())
        lines.append(f"| {text} | {' | '.join(cells_of)} | {total} |")
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")
    draw(protocol, found, sorted(protocol.arms, key=lambda arm: -rank[arm]), folder)


def stored(protocol: Protocol, file: Path) -> dict[str, Table]:
    """Returns what ``<world>.csv`` has of each arm, ``(V, S)``; ``(0, 0)`` if it diverged."""
    values: dict[str, dict[tuple[int, int], float]] = {arm: {} for arm in protocol.arms}
    with file.open() as opened:
        for row in csv.DictReader(opened):
            values[row["arm"]][int(row["visit"]), int(row["seed"])] = float(row["value"])
    return {
        arm: np.array(list(of.values())).reshape(1 + max(of)[0], -1) if of else np.zeros((0, 0))
        for arm, of in values.items()
    }


def ranks(found: dict[str, dict[str, Table]]) -> dict[str, float]:
    """Returns the mean rank of each arm over the worlds; one that has diverged is the last."""
    places: dict[str, list[int]] = defaultdict(list)
    for arms in found.values():
        order = sorted(arms, key=lambda arm: -arms[arm].mean() if arms[arm].size else np.inf)
        for place, arm in enumerate(order, 1):
            places[arm].append(place)
    return {arm: float(np.mean(of)) for arm, of in places.items()}


def draw(
    protocol: Protocol, found: dict[str, dict[str, Table]], order: list[str], folder: Path
) -> None:
    """Draws means and intervals of all arms, a panel for each world; the last arm is at the top."""
    rows = -(-len(found) // COLUMNS)
    columns = min(len(found), COLUMNS)
    figure = Figure(figsize=(2.2 + 3 * columns, 0.8 + 0.26 * len(order) * rows))
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axis, (world, arms) in zip(axes, found.items(), strict=False):
        for y, arm in enumerate(order):
            if arms[arm].size:
                mean, low, high = interval(arms[arm].mean(0).tolist())
                color = "C1" if arm.startswith("adalin") else "C0"
                axis.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=color)
        axis.set_title(f"{world}, {seeds(arms)} seeds", fontsize=9)
        axis.set_yticks(range(len(order)), order, fontsize=8)
        axis.set_xlabel(f"{protocol.unit}, 95% interval over seeds", fontsize=8)
        axis.grid(alpha=0.3)
    for axis in axes[len(found) :]:
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(folder / f"{protocol.name}.png", dpi=110)
