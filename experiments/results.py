"""Tables and a figure of an experiment in one world."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from inside import cell, tables
from matplotlib.figure import Figure
from protocol import Protocol, Table, at_rate, oracle

from training.summary import interval, intervals

FOLDER = Path(__file__).parent / "results"
TOLD = """\
All visits but the first, with the settings that were chosen for the arm. A new agent has lost
nothing, but its replay is empty, and it explores as at the beginning, which whole visits pay for:
so the last 10% of each visit stand beside. A cleared replay is as empty; what a new agent reaches
more than that one at the end of visits was lost with learning.
"""
RATED = """\
All visits. The rate that trials chose saw the first quarter of the tasks and other seeds; the best
one of a row was chosen by nobody.
"""
IN_TURN = "{} tasks come in turn: a change from visit to visit is one between those of one task."
MEASURES = {"area_under_curve": "whole visits", "return": "their last 10%"}
EXPLAINED = """\
Means of the probes of the last quarter of the visits (95% interval over seeds). Values are those
that the network gives to its probe batch; paid is the mean discounted return from the steps of the
episodes then, as if each episode had paid the same at each step, and nothing after its end. Values
far above it are too high; where a time limit ends episodes, up to 1 / (1 - gamma) times the pay of
a step is right.
"""


def write(protocol: Protocol, world: str, runs: Path, best: dict[str, str]) -> None:
    """Writes ``<world>.md``, ``.csv`` and ``.png`` to the folder of results."""
    found = {arm: protocol.read(protocol.folder(runs, world, arm)) for arm in protocol.arms}
    order = sorted(found, key=lambda arm: -found[arm].mean() if found[arm].size else np.inf)
    first, turn = next(iter(protocol.arms)), protocol.worlds[world].turn
    lines = [
        f"# {world}",
        "",
        f"`python experiments/run.py {protocol.name} --worlds {world}`; the protocol stands in",
        f"`experiments/{protocol.name.replace('-', '_')}.py`. Numbers are {protocol.unit}, mean of",
        f"{seeds(found)} seeds (95% interval, Student's t); differences are taken seed by",
        f"seed. Trials: [{world}-tuning.csv]({world}-tuning.csv); each visit and seed:",
        f"[{world}.csv]({world}.csv); more of the {len(protocol.drawn)} arms of the figure:",
        f"[{world}.html]({world}.html).",
        *([IN_TURN.format(turn)] if turn > 1 else []),
        "",
        f"![{world}]({world}.png)",
        "",
        f"| arm | chosen | all visits | last quarter | from visit to visit | dormant at end | "
        f"against {first} |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in order:
        x, chosen = found[arm], protocol.own(arm, best[arm])
        if not x.size:
            lines.append(f"| {arm} | {chosen} | diverged | | | | |")
            continue
        last = x[-max(len(x) // 4, 1) :]
        cells = (
            cell(x.mean(0), protocol.form),
            cell(last.mean(0), protocol.form),
            cell(slopes(x, turn), signed(protocol.form)),
            cell(protocol.dormant(protocol.folder(runs, world, arm)), "{:.0%}"),
            "" if arm == first else cell(gap(x, found[first]), signed(protocol.form)),
        )
        lines.append(f"| {arm} | {chosen} | {' | '.join(cells)} |")
    lines += ["", "| hypothesis | difference (95% interval) | |", "|---|---|---|"]
    lines += hypotheses(protocol, found, turn)
    if protocol.oracles:
        lines += oracles(protocol, world, runs)
        if protocol.worlds[world].every_rate:
            lines += rates(protocol, world, runs, best, found)
    if protocol.program == "train":
        lines += ["", "## Inside, in the last quarter", "", EXPLAINED.rstrip()]
        lines += tables(
            {arm: protocol.folder(runs, world, arm) for arm in order if found[arm].size}
        )
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{world}.md").write_text("\n".join(lines) + "\n")
    with (FOLDER / f"{world}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("arm", "visit", "seed", "value"))
        for arm, x in found.items():
            for (visit, seed), value in np.ndenumerate(x):
                table.writerow((arm, visit, seed, f"{value:.5g}"))
    draw(protocol, world, found)


def hypotheses(protocol: Protocol, found: dict[str, Table], turn: int) -> list[str]:
    """Returns a row for each hypothesis: supported, contradicted or undecided."""
    rows = []
    for text, (against, difference) in differences(protocol, found, turn).items():
        level = level_of(against, found)
        whole = f"{text}, against {against} ({level:.1%} interval)" if against else text
        rows.append(verdict(whole, difference, signed(protocol.form), level))
    return rows


def level_of(against: str, found: dict[str, Table]) -> float:
    """Returns the level of the interval of a hypothesis.

    The rival of the best arm is picked by the same numbers, as the best of all others: this one is
    corrected for their number (Bonferroni).
    """
    others = sum(table.size > 0 for table in found.values()) - 1
    return 1 - 0.05 / others if against else 0.95


def differences(
    protocol: Protocol, found: dict[str, Table], turn: int = 1
) -> dict[str, tuple[str, Table]]:
    """Returns what each hypothesis says to be above 0, of each seed, and whom it is against.

    Where an arm has diverged nothing is said: a NaN.  Of ``turn``, see ``World``.
    """
    named = {
        f"{arm} loses from visit to visit": (
            "",
            -slopes(found[arm], turn) if found[arm].size else np.full(1, np.nan),
        )
        for arm in protocol.losers
    }
    named |= {text: ("", gap(found[one], found[other])) for text, one, other in protocol.pairs}
    others = (arm for arm in found if arm != protocol.best and found[arm].size)
    rival = max(others, key=lambda arm: found[arm].mean())
    best = gap(found[protocol.best], found[rival])
    return named | {f"{protocol.best} is the best": (rival, best)}


def oracles(protocol: Protocol, world: str, runs: Path) -> list[str]:
    """Returns a table of what agents reach that are told of switches, after the first of them."""
    lines = ["", "## Agents that are told of switches", "", TOLD]
    first, *others = protocol.oracles
    titles = [*protocol.oracles, *(f"{name} more than {first}" for name in others)]
    lines += [f"| arm | | untold | {' | '.join(titles)} |"]
    lines += ["|---|---|---|" + "---|" * len(titles)]
    for arm in protocol.asked:
        for measure, text in MEASURES.items():
            plain, *told = (
                protocol.read(protocol.folder(runs, world, name), measure)[1:]
                for name in (arm, *(oracle(arm, name) for name in protocol.oracles))
            )
            cells = [
                f"{reached(of, protocol.form)}; {cell(gap(of, plain), signed(protocol.form))} more"
                for of in told
            ]
            cells += [cell(gap(of, told[0]), signed(protocol.form)) for of in told[1:]]
            start = f"| {arm} | {text} | {reached(plain, protocol.form)} |"
            lines.append(f"{start} {' | '.join(cells)} |")
    return lines


def rates(
    protocol: Protocol, world: str, runs: Path, best: dict[str, str], found: dict[str, Table]
) -> list[str]:
    """Returns a table of what some arms reach at every learning rate, in all visits."""
    head = " | ".join(f"rate {rate}" for rate in protocol.worlds[world].rates)
    lines = ["", "## At every learning rate", "", RATED]
    lines += [f"| arm | {head} |", "|---|" + "---|" * len(protocol.worlds[world].rates)]
    tables: dict[str, list[Table]] = {}
    for arm in protocol.asked:
        tables[arm] = [
            found[arm]
            if trial == best[arm]
            else protocol.read(protocol.folder(runs, world, at_rate(arm, rate)))
            for rate, trial in protocol.rated(world, arm).items()
        ]
        cells = (reached(x, protocol.form) for x in tables[arm])
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    one, *others = protocol.asked
    for other in others:
        gaps = (
            cell(gap(y, x), signed(protocol.form))
            for x, y in zip(tables[one], tables[other], strict=True)
        )
        lines.append(f"| {other} more than {one} | {' | '.join(gaps)} |")
    return lines


def reached(table: Table, form: str) -> str:
    """Returns the mean of all visits and its interval, or that the arm has diverged."""
    return cell(table.mean(0), form) if table.size else "diverged"


def gap(one: Table, other: Table) -> Table:
    """Returns what one earns more than another, mean of all visits, of each seed.

    A NaN where one of them has diverged.
    """
    return (one - other).mean(0) if one.size and other.size else np.full(1, np.nan)


def seeds(found: dict[str, Table]) -> int:
    """Returns the number of seeds of the arms: of those that have not diverged."""
    return max(len(table.T) for table in found.values())


def verdict(text: str, difference: Any, form: str, level: float = 0.95) -> str:
    """Returns a row on a hypothesis that says that a difference is above 0."""
    return f"| {text} | {cell(difference, form, level)} | {judged(difference, level)} |"


def judged(difference: Any, level: float = 0.95) -> str:
    """Says by its interval whether a difference is above 0."""
    _, low, high = interval(difference, level)
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def signed(form: str) -> str:
    """``{:.1%}`` to ``{:+.2%}``: with its sign, one digit more."""
    digits = int(form[3]) + 1
    return f"{{:+.{digits}{form[4:]}"


def slopes(table: Table, turn: int = 1) -> Table:
    """Change from visit to visit by least squares, of each seed; between visits of one task."""
    visit = np.arange(len(table))
    at = visit - np.array([visit[task::turn].mean() for task in visit % turn])
    slope: Table = at @ table / (at @ at)
    return slope


def draw(protocol: Protocol, world: str, found: dict[str, Table]) -> None:
    """Draws some of the arms."""
    factor = 100.0 if "%" in protocol.form else 1.0
    figure = Figure(figsize=(9, 4.5))
    axis = figure.add_subplot()
    for i, arm in enumerate(a for a in protocol.drawn if found[a].size):
        mean, low, high = factor * intervals(found[arm])
        axis.plot(mean, label=arm, color=f"C{i}", marker="o", markersize=3)
        axis.fill_between(range(len(mean)), low, high, alpha=0.2, color=f"C{i}", lw=0)
    axis.set_xlabel("task visit")
    axis.set_ylabel(protocol.unit + (" (%)" if factor > 1 else ""))
    axis.set_title(f"{world}: mean and 95% band of {seeds(found)} seeds")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(FOLDER / f"{world}.png", dpi=110)
