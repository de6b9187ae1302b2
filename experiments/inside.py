"""What went on inside the networks of an experiment's runs: a table to look for causes in."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from configs import read_yaml
from training.summary import interval

Rows = dict[str, dict[int, list[float]]]
"""Values by name and seed."""

COLUMNS = {
    "dormant, first layer": ("dormant_fraction@0.1/FIRST", "{:.0%}"),
    "dormant, last layer": ("dormant_fraction@0.1/LAST", "{:.0%}"),
    "effective rank": ("effective_rank", "{:.1f}"),
    "weights (rms)": ("weight_rms", "{:.3f}"),
    "effective learning rate": ("effective_lr", "{:.1e}"),
    "policy churn": ("policy_churn", "{:.0%}"),
    "policy change": ("policy_change", "{:.2f}"),
    "value, mean": ("q_mean", "{:.1f}"),
    "value, greatest": ("q_max", "{:.1f}"),
}
"""Of each network: metrics by the titles of their columns, and how they are written."""


def tables(runs: dict[str, Path]) -> list[str]:
    """Returns a table in Markdown for each network.

    Numbers are means of the probes in the last quarter of the visits, then of the seeds.  What was
    paid is the mean discounted return from each step of the episodes of these visits, as if each
    episode had paid the same at each of its steps, and nothing after its end.

    Args:
        runs: Run directories by the names of arms.
    """
    found = {arm: read(run) for arm, run in runs.items() if (run / "metrics.csv").exists()}
    names = {name for rows in found.values() for name in rows if name.startswith("plasticity/")}
    networks = sorted({name.split("/")[1] for name in names})
    lines = []
    for network in networks:
        lines += ["", f"### {network}", "", *table(network, found, runs)]
    return lines


def table(network: str, found: dict[str, Rows], runs: dict[str, Path]) -> list[str]:
    """Returns the table of a network, without columns that nobody fills."""
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for arm, rows in found.items():
        prefix = f"plasticity/{network}/dormant_fraction@0.1/"
        layers = [name.removeprefix(prefix) for name in rows if name.startswith(prefix)] or [""]
        for title, (metric, form) in COLUMNS.items():
            metric = metric.replace("FIRST", layers[0]).replace("LAST", layers[-1])
            name = f"plasticity/{network}/{metric}"
            if name in rows:
                columns[title][arm] = cell(means(rows[name]), form)
        alphas = [
            means(rows[n])
            for n in rows
            if n.startswith(f"adalin/{network}/") and n.endswith("/alpha_mean")
        ]
        if alphas:
            columns["alpha"][arm] = cell(np.mean(alphas, axis=0), "{:+.2f}")
        if f"plasticity/{network}/q_mean" in rows:
            columns["paid"][arm] = cell(paid(rows, gamma(runs[arm])), "{:.1f}")
    titles = list(columns)
    lines = [f"| arm | {' | '.join(titles)} |", "|---|" + "---|" * len(titles)]
    for arm in found:
        lines.append(f"| {arm} | {' | '.join(columns[t].get(arm, '') for t in titles)} |")
    return lines


def read(run_dir: Path) -> Rows:
    """Reads the rows of the last quarter of the visits, which tasks and their visits name."""
    with (run_dir / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["visit"]]
    begun: dict[tuple[str, str], int] = {}
    for row in rows:
        phase, step = (row["task"], row["visit"]), int(row["step"])
        begun[phase] = min(begun.get(phase, step), step)
    last = sorted(begun, key=begun.__getitem__)[-max(len(begun) // 4, 1) :]
    found: Rows = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (row["task"], row["visit"]) in last:
            found[row["name"]][int(row["seed"])].append(float(row["value"]))
    return found


def means(by_seed: dict[int, list[float]]) -> Any:
    """Returns the mean of each seed."""
    return np.array([np.mean(by_seed[seed]) for seed in sorted(by_seed)])


def paid(rows: Rows, discount: float) -> Any:
    """Returns the mean discounted return from a step, of each seed."""
    values = []
    for seed, returns in sorted(rows["return/episode"].items()):
        lengths = np.array(rows["return/length"][seed])
        # Over the steps of an episode of length L: the sum of (1 - g^k) / (1 - g), k = 1 ... L
        weights = (lengths - discount * (1 - discount**lengths) / (1 - discount)) / (1 - discount)
        values.append((np.array(returns) / lengths * weights).sum() / lengths.sum())
    return np.array(values)


def gamma(run_dir: Path) -> float:
    """Returns the discount of a run."""
    settings = read_yaml(run_dir / "config.yaml")
    return float(settings[settings["agent"]]["gamma"])


def cell(values: Any, form: str, level: float = 0.95) -> str:
    """Returns the mean of the seeds and its interval, or that there is no value."""
    found = interval(values, level)
    mean, low, high = (form.format(x) for x in found)
    return "unknown" if np.isnan(found[0]) else f"{mean} ({low} to {high})"
