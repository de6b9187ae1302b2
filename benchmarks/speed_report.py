"""The tables and the figure of ``speed.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from speed_contenders import GOALS, NAMES
from speed_ratios import against, middle_half, speeds, times

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def write(result: dict[str, Any], path: Path) -> None:
    """Writes ``path``.md and, if there are peers, ``path``.png."""
    lines = ["# Speed", "", f"`python benchmarks/speed.py`, raw numbers in {path.name}.json.", ""]
    lines += [", ".join(f"{k} {v}" for k, v in result["about"].items()) + ".", ""]
    for part, tables in (
        ("peers", [peers, ratios]),
        ("seeds", [seeds]),
        ("updates", [updates]),
        ("growth", [growth]),
        ("overhead", [overhead]),
    ):
        for table in tables if part in result else []:
            lines += [*table(result[part]), ""]
    path.with_suffix(".md").write_text("\n".join(lines))
    if "peers" in result:
        draw(result["peers"], path.with_suffix(".png"))


def peers(found: dict[str, Any]) -> list[str]:
    """Steps per second of everyone."""
    lines = [
        "## Beside what people use",
        "",
        "Environment steps per second (of all seeds together); the middle half of the rounds in "
        "brackets. Warm-up: seconds until measuring begins, imports, 1,000 random steps, one chunk "
        "and compiling included (shorter if its cache on the disk is filled). MB: peak memory.",
        "",
        "| work | who | steps/s | | warm-up (s) | MB |",
        "|---|---|---:|---|---:|---:|",
    ]
    for work, contenders in found.items():
        for name, entry in contenders.items():
            low, middle, high = middle_half(speeds(entry))
            lines.append(
                f"| {NAMES[work]} | {name} | {middle:,.0f} | ({low:,.0f} to {high:,.0f}) "
                f"| {entry['warm_up']:.0f} | {entry['megabytes']:.0f} |"
            )
    return lines


def ratios(found: dict[str, Any]) -> list[str]:
    """What was to be reached."""
    lines = [
        "| work | | against | ratio | | goal | |",
        "|---|---|---|---:|---|---:|---|",
    ]
    for (work, one, other), goal in GOALS.items():
        each = against(found, work, one, other)
        if not each:
            continue
        low, ratio, high = middle_half(each)
        lines.append(
            f"| {NAMES[work]} | {one} | {other} | {ratio:.2f} | ({low:.2f} to {high:.2f}) "
            f"| {goal} | {'reached' if ratio >= goal else f'{goal / ratio:.2f} times too slow'} |"
        )
    return lines


def seeds(found: dict[str, Any]) -> list[str]:
    """Ten seeds at once, and what else could be done."""
    lines = [
        "## Ten seeds at once",
        "",
        "DQN CartPole, compiled: steps per second of all seeds together, and how many times those "
        "of one seed after another, in the same round (the middle half of the rounds in brackets). "
        "MB: of all processes together. Each process takes its warm-up once.",
        "",
        "| | processes | each: seeds | threads | steps/s | | times | | warm-up (s) | MB |",
        "|---|---:|---:|---:|---:|---|---:|---|---:|---:|",
    ]
    one = next(iter(found.values()))
    for name, entry in found.items():
        low, middle, high = middle_half(speeds(entry))
        least, multiple, most = middle_half(times(entry, one))
        lines.append(
            f"| {name} | {entry['processes']} | {entry['seeds']} | {entry['threads']} "
            f"| {middle:,.0f} | ({low:,.0f} to {high:,.0f}) | {multiple:.2f} "
            f"| ({least:.2f} to {most:.2f}) | {entry['warm_up']:.0f} | {entry['megabytes']:.0f} |"
        )
    return lines


def updates(rows: list[dict[str, Any]]) -> list[str]:
    """The update beside its floor."""
    lines = [
        "## One update, sampling included",
        "",
        "Microseconds. Products: the bare matrix products of the update, the floor.",
        "",
        "| work | seeds | threads | products | eager | compiled | compiled / products "
        "| compiling (s) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        floor, eager, compiled = (1e6 * row[name] for name in ("products", "eager", "compiled"))
        lines.append(
            f"| {NAMES[row['work']]} | {row['seeds']} | {row['threads']} | {floor:.0f} "
            f"| {eager:.0f} | {compiled:.0f} | {compiled / floor:.2f} "
            f"| {row['compile_seconds']:.0f} |"
        )
    return lines


def growth(rows: list[dict[str, Any]]) -> list[str]:
    """How the cost grows."""
    lines = [
        "## How the cost grows",
        "",
        "DQN, 64-64, batch 128, one thread, compiled: microseconds for choosing actions and for an "
        "update; one of the three is changed.",
        "",
        "| | n | act | update | update per seed |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        seeds = row["n"] if row["axis"] == "seeds" else 1
        lines.append(
            f"| {row['axis']} | {row['n']} | {1e6 * row['act']:.0f} | {1e6 * row['update']:.0f} "
            f"| {1e6 * row['update'] / seeds:.0f} |"
        )
    return lines


def overhead(rows: list[dict[str, Any]]) -> list[str]:
    """What the trainer takes."""
    parts = ("environment", "act", "store", "sample", "update", "probe")
    lines = [
        "## What the trainer takes for itself",
        "",
        "Microseconds per step. Trainer: all that is not in the other columns (goal: at most 5%). "
        "Where the next actions are chosen in the call of the update, they are in its column.",
        "",
        f"| work | {' | '.join(parts)} | trainer | share |",
        f"|---|{'---:|' * (len(parts) + 2)}",
    ]
    for row in rows:
        rest = row["all"] - sum(row[part] for part in parts)
        cells = [f"{1e6 * row[part] / row['steps']:.0f}" for part in parts]
        lines.append(
            f"| {NAMES[row['work']]} | {' | '.join(cells)} | {1e6 * rest / row['steps']:.0f} "
            f"| {rest / row['all']:.1%} |"
        )
    return lines


def draw(found: dict[str, Any], file: Path) -> None:
    """One panel for each work: steps per second, the middle half of the rounds as a line."""
    figure, axes = plt.subplots(1, len(found), figsize=(5.2 * len(found), 3.6), squeeze=False)
    for axis, (work, contenders) in zip(axes[0], found.items(), strict=True):
        labels = [name.replace(" --", "\n--", 1).replace("--", "") for name in contenders]
        halves = [middle_half(speeds(entry)) for name, entry in contenders.items()]
        middle = [m for _, m, _ in halves]
        spread = [[m - low for low, m, _ in halves], [high - m for _, m, high in halves]]
        colors = ["C0" if name.startswith("ours") else "0.6" for name in contenders]
        axis.barh(labels, middle, xerr=spread, color=colors)
        axis.invert_yaxis()
        axis.set_title(NAMES[work])
        axis.set_xlabel("environment steps per second, all seeds")
        axis.tick_params(axis="y", labelsize=7)
        for i, (_, m, high) in enumerate(halves):
            axis.text(high, i, f"  {m:,.0f}", va="center", fontsize=7)
        axis.margins(x=0.2)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
