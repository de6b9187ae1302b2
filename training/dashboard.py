"""What TensorBoard shows first: charts in groups, a guide to them, and a picture per switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.metrics import DESCRIPTIONS
from training.summary import Visit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Charts = dict[str, dict[str, list[Any]]]

INSIDE = """
**If not, why?** The groups below look inside the networks:

| group | a healthy network | a sign of lost plasticity |
|---|---|---|
| 2 dormant neurons | few, and not rising from task to task | the share climbs from task to task |
| 3 ranks and norms | steady | ranks fall; norms of weights or features grow without end |
| 4 gradients and steps | steps keep their size | many zero gradients; `effective_lr` sinks; \
`one_step_plasticity` near 0: a step no longer lowers its own loss |
| 5 values and policy | `q_max` near the returns that are reached | `q_mean` and `q_max` run away: \
overestimation |
| 6 alpha | moves away from where it began | far above 0 everywhere: the network turns linear |
| 7 remedies | what they did: units reset, penalties, norms | |

A curve is the mean of the seeds, bands are 95% intervals.  *Histograms* hold alpha and the score of
each neuron (its mean activity over that of its layer; 0 is dormant).
"""

RETURNS_GUIDE = f"""
**Does the agent keep learning?** *Custom Scalars*, group 1: in each task the return should rise as
fast, and as far, as in the first one.  Needles mark the switches.  *Images* hold a picture for each
switch: return against dormant neurons.
{INSIDE}"""

ACCURACY_GUIDE = f"""
**Does the network keep learning?** *Custom Scalars*, group 1: the online accuracy of a task, on
each batch before it is learned from, should not sink from task to task.  Needles mark the switches.
{INSIDE}"""


def metrics_guide() -> str:
    """Returns a table of all metrics: name, formula and source."""
    rows = [f"| `{name}` | {text.replace('|', '&#124;')} |" for name, text in DESCRIPTIONS.items()]
    return "\n".join(["| metric | formula (source) |", "|---|---|", *rows])


def chart(title: str, name: str, intervals: bool) -> dict[str, list[Any]]:
    """One metric, with its band if there are several seeds."""
    if intervals:
        return {title: ["Margin", [name, f"ci_low/{name}", f"ci_high/{name}"]]}
    return {title: lines(f"^{name}$")}


def lines(*patterns: str) -> list[Any]:
    """All metrics whose names match, in one chart."""
    return ["Multiline", list(patterns)]


def return_charts(intervals: bool, evaluation: bool) -> Charts:
    """Returns the first charts of reinforcement learning, by group and title.

    Args:
        intervals: Whether there are several seeds, and so bands.
        evaluation: Whether there are evaluations.
    """
    returns = chart("return, mean of all seeds", "return/mean", intervals)
    returns["return, needles at task switches"] = lines("^return/mean$", "^task/switch$")
    returns["return of each task"] = lines("^return/task_")
    if intervals:
        returns["return of each seed, needles at task switches"] = lines(
            "^return/seed_", "^task/switch$"
        )
    charts = {"1 return": returns}
    if evaluation:
        charts["1 return, evaluated"] = {
            "average of all tasks, normalised": lines("^eval/average_performance$"),
            "return of each task": lines("^eval/return/task_"),
        }
    return charts


def accuracy_charts(intervals: bool) -> Charts:
    """Returns the first charts of supervised streams, by group and title."""
    return {
        "1 accuracy": {
            **chart("online accuracy of each task, at its end", "accuracy/online", intervals),
            "accuracy since the last row, needles at task switches": lines(
                "^train/accuracy$", "^task/switch$"
            ),
            **chart("test accuracy of each task, at its end", "accuracy/test", intervals),
            **chart("train accuracy of each task, at its end", "accuracy/train", intervals),
            **chart("online accuracy, mean of the tasks so far", "accuracy/average", intervals),
        }
    }


def network_charts(
    networks: Sequence[str], intervals: bool, mitigations: Sequence[str] = ()
) -> Charts:
    """Returns the charts of what happens inside, by group and title.

    Args:
        networks: Names of the networks that have hidden layers.
        intervals: Whether there are several seeds, and so bands.
        mitigations: Names of the remedies.
    """
    charts: Charts = {}
    dormant = charts["2 dormant neurons"] = {}
    ranks = charts["3 ranks and norms"] = {}
    steps = charts["4 gradients and steps"] = {}
    values = charts["5 values and policy"] = {}
    for network in networks:
        p = f"plasticity/{network}/"
        dormant |= chart(
            f"{network}: dormant neurons, tau 0.1", f"{p}dormant_fraction@0.1", intervals
        )
        dormant[f"{network}: dormant neurons, tau 0 to 0.1"] = lines(f"^{p}dormant_fraction@[^/]*$")
        dormant[f"{network}: dormant neurons of each layer, tau 0.1"] = lines(
            f"^{p}dormant_fraction@0.1/"
        )
        dormant[f"{network}: of those dormant before, still dormant"] = lines(
            f"^{p}dormant_overlap@[^/]*$"
        )
        ranks |= chart(
            f"{network}: effective rank of the features", f"{p}effective_rank", intervals
        )
        ranks[f"{network}: norm of the features of each layer"] = lines(f"^{p}feature_norm/")
        ranks[f"{network}: size of the weights of each layer"] = lines(f"^{p}weight_rms/")
        steps |= chart(f"{network}: norm of the gradient", f"{p}grad_norm", intervals)
        steps |= chart(
            f"{network}: step over weights (effective_lr)", f"{p}effective_lr", intervals
        )
        steps[f"{network}: weights and neurons that the gradient misses"] = lines(
            f"^{p}zero_grad_fraction$", f"^{p}grama_fraction@[^/]*$"
        )
        steps[f"{network}: loss that a step removes (one_step_plasticity)"] = lines(
            f"^{p}one_step_plasticity$"
        )
        values[f"{network}: mean and largest value"] = lines(f"^{p}q_mean$", f"^{p}q_max$")
        values[f"{network}: actions that changed since the last probe"] = lines(
            f"^{p}policy_churn$", f"^{p}policy_change$"
        )
    charts["6 alpha"] = {
        "mean alpha of each layer": lines("^adalin/.*/alpha_mean$"),
        "mean absolute alpha of each layer": lines("^adalin/.*/alpha_abs$"),
    }
    if mitigations:
        charts["7 remedies"] = {name: lines(f"^mitigation/{name}/") for name in mitigations}
    return charts


def return_against_dormant(visits: Sequence[Visit]) -> Figure | None:
    """Draws whether returns and dormant neurons went together, in the last visit and before.

    A point is one seed between two probes: the mean return of the episodes that ended there,
    against the dormant share at the probe that followed.

    Args:
        visits: The visits so far; the last one is drawn in front.

    Returns:
        The figure, or None if the last visit has no points.
    """
    from matplotlib.figure import Figure  # here, as a start without a picture needs neither
    from scipy.stats import spearmanr

    clouds = [points(visit) for visit in visits]
    if not len(clouds[-1]):
        return None
    figure = Figure(figsize=(3.6, 3.0), dpi=100)  # as large as TensorBoard shows it
    axis = figure.add_subplot()
    before = [cloud for cloud in clouds[:-1] if len(cloud)]
    if before:
        old = np.concatenate(before)
        axis.scatter(100 * old[:, 1], old[:, 2], s=12, color="lightgrey", label="visits before")
    now = clouds[-1]
    dots = axis.scatter(100 * now[:, 1], now[:, 2], s=22, c=now[:, 0], cmap="viridis", zorder=3)
    bar = figure.colorbar(dots)
    bar.set_label("step", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    together = np.concatenate([*before, now])
    text = ""
    if len(np.unique(together[:, 1])) > 2 and len(np.unique(together[:, 2])) > 2:
        text = f"\nrank correlation, all visits: {spearmanr(together[:, 1:])[0]:.2f}"
    axis.set_title(f"task {visits[-1].task}, visit {visits[-1].visit}{text}", fontsize=8)
    axis.set_xlabel("dormant neurons (%), tau 0.1", fontsize=8)
    axis.set_ylabel("return", fontsize=8)
    axis.tick_params(labelsize=7)
    if before:
        axis.legend(fontsize=7)
    figure.tight_layout()
    return figure


def points(visit: Visit) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns (step, dormant fraction, mean return) of each seed and each time between probes."""
    rows = []
    since = visit.start
    for step, dormant in visit.probes:
        for seed, share in enumerate(dormant):
            ended = [ret for at, ret, _ in visit.episodes[seed] if since < at <= step]
            if ended and not np.isnan(share):
                rows.append((step, share, float(np.mean(ended))))
        since = step
    return np.array(rows, float).reshape(-1, 3)
