"""Which activations and remedies keep a network learning?  Random labels for digits, 40 times.

    python experiments/random_label_digits.py [--jobs 2]

Protocol, fixed before the runs:

* **Stream.** 320 images of scikit-learn's digits for each seed, whose labels are drawn anew at
  each of 40 tasks; 20 epochs of each, batches of 16: 400 updates per task. MLP 100-100, Adam.
* **Hypotheses.** (1) ReLU loses online accuracy from task to task. AdaLin-ReLU (2) and a PReLU
  for each neuron (3) keep more of it. (4) An alpha for each neuron is better than one for each
  layer, and that better than one for the network. (5) AdaLin-Tanh is better with its gate than
  without. (6) Alphas that start at 0 are better than uniform ones. (7) AdaLin-ReLU is the best of
  all arms.
* **Tuning.** Each arm has 8 trials on seeds 100 and 101, 20 tasks each: 8 learning rates, or 4
  where a remedy has a setting with 2 values. The best mean online accuracy wins.
* **Primary measure.** Online accuracy (on each batch before it is learned from), mean of the 40
  tasks; beside it that of the last 10 tasks, and the slope from task to task. Seeds 0 to 4.
* **Decision.** Seeds have the same images and labels in all arms, so differences are taken seed
  by seed. A hypothesis is supported if the 95% interval (Student's t) of the difference excludes
  0 on its side, contradicted if on the other, else undecided. Intervals are not corrected for
  their number.

Runs are kept in --runs, and a second call goes on with what is there. Tables and figure are
written to docs/.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import configs
from configs import SupervisedConfig
from training import NonFiniteError, SupervisedTrainer
from training.summary import interval, intervals

ROOT = Path(__file__).resolve().parents[1]
NAME = "random-label-digits"
COMMON = "--stream random-label --images-per-task 320 --epochs 20 --optimizer adam --no-compile"
TUNING = "--num-tasks 20 --seed 100 --num-seeds 2 --probe.every 8000 --log-every 8000"
FINAL = "--num-tasks 40 --seed 0 --num-seeds 5 --probe.every 400 --log-every 400"
RATES = "1e-4 3e-4 6e-4 1e-3 2e-3 3e-3 6e-3 1e-2".split()
FEWER = "3e-4 1e-3 3e-3 1e-2".split()
ARMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("--activation relu", ()),
    "leaky-relu": ("--activation leaky-relu", ()),
    "prelu": ("--activation prelu", ()),
    "prelu-layer": ("--activation prelu-layer", ()),
    "adalin-relu": ("--activation adalin-relu", ()),
    "adalin-relu, uniform": ("--activation adalin-relu --adalin.init uniform", ()),
    "adalin-relu, layer": ("--activation adalin-relu --adalin.granularity layer", ()),
    "adalin-relu, network": ("--activation adalin-relu --adalin.granularity network", ()),
    "tanh": ("--activation tanh", ()),
    "adalin-tanh": ("--activation adalin-tanh", ()),
    "adalin-tanh, no gate": ("--activation adalin-tanh --adalin.no-gate", ()),
    "crelu, halved": ("--activation crelu --halve-widths", ()),
    "fourier, halved": ("--activation fourier --halve-widths", ()),
    "relu + layer-norm": ("--activation relu --mitigation layer-norm", ()),
    "relu + l2-init": (
        "--activation relu --mitigation l2-init",
        ("--l2-init.strength 1e-2", "--l2-init.strength 1e-3"),
    ),
    "relu + shrink-perturb": (
        "--activation relu --mitigation shrink-perturb --shrink-perturb.every 400",
        (
            "--shrink-perturb.shrink 0.2 --shrink-perturb.perturb 0.2",
            "--shrink-perturb.shrink 0.6 --shrink-perturb.perturb 0.6",
        ),
    ),
    "relu + redo": (
        "--activation relu --mitigation redo --redo.every 400",
        ("--redo.tau 0.01", "--redo.tau 0.1"),
    ),
    "adalin-relu + layer-norm": ("--activation adalin-relu --mitigation layer-norm", ()),
}
"""Flags of each arm, and the values of its own setting to choose from."""
PAIRS = (
    ("2 adalin-relu keeps more than relu", "adalin-relu", "relu"),
    ("3 prelu keeps more than relu", "prelu", "relu"),
    ("4 neuron better than layer", "adalin-relu", "adalin-relu, layer"),
    ("4 layer better than network", "adalin-relu, layer", "adalin-relu, network"),
    ("5 gate better than none", "adalin-tanh", "adalin-tanh, no gate"),
    ("6 zeros better than uniform", "adalin-relu", "adalin-relu, uniform"),
)
DRAWN = ("relu", "adalin-relu", "leaky-relu", "tanh", "adalin-tanh", "relu + layer-norm")
"""Arms of the figure."""


def trials(arm: str) -> Iterator[str]:
    """Yields the flags of the 8 trials of an arm."""
    flags, own = ARMS[arm]
    for rate in FEWER if own else RATES:
        for value in own or ("",):
            yield f"{flags} {value} --learning-rate {rate}".replace("  ", " ")


def train(flags: str, run_dir: Path) -> None:
    """Does a run, or goes on with it; one that diverges leaves a file that says so."""
    summary, diverged = run_dir / "summary.json", run_dir / "diverged"
    if diverged.exists() or (summary.exists() and json.loads(summary.read_text())["finished"]):
        return
    config = configs.parse_as(SupervisedConfig, [*flags.split(), "--run-dir", str(run_dir)])
    try:
        SupervisedTrainer(config, Console(quiet=True)).run()
    except NonFiniteError as error:
        diverged.write_text(f"{error}\n")


def all_of(jobs: dict[Path, str], processes: int) -> None:
    """Does runs side by side."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        futures = [pool.submit(train, flags, run_dir) for run_dir, flags in jobs.items()]
        for i, future in enumerate(as_completed(futures)):
            future.result()
            print(f"{i + 1} of {len(futures)} runs", flush=True)


def accuracies(run_dir: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the online accuracy of each task and seed, ``(T, S)``; empty if it diverged."""
    if (run_dir / "diverged").exists():
        return np.zeros((0, 0))
    tasks = json.loads((run_dir / "summary.json").read_text())["tasks"]
    return np.array([task["accuracy/online"]["per_seed"] for task in tasks])


def folder(runs: Path, arm: str, trial: str | None = None) -> Path:
    """Returns where a run is kept: the final one of an arm, or one of its trials."""
    name = arm.replace(", ", "-").replace(" + ", "-").replace(" ", "-")
    if trial is None:
        return runs / "final" / name
    own = trial.removeprefix(ARMS[arm][0]).replace("--", "").replace(" ", "-")
    return runs / "tuning" / f"{name}{own}"


def tune(runs: Path, processes: int) -> dict[str, str]:
    """Returns the flags of the best trial of each arm."""
    jobs = {
        folder(runs, arm, trial): f"{COMMON} {TUNING} {trial}"
        for arm in ARMS
        for trial in trials(arm)
    }
    all_of(jobs, processes)
    best: dict[str, str] = {}
    with (ROOT / f"docs/{NAME}-tuning.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("arm", "trial", "online_accuracy", "chosen"))
        for arm in ARMS:
            found = {trial: accuracies(folder(runs, arm, trial)) for trial in trials(arm)}
            scores = {trial: x.mean() if x.size else 0.0 for trial, x in found.items()}
            best[arm] = max(scores, key=lambda trial: scores[trial])
            for trial, score in scores.items():
                table.writerow((arm, trial, f"{score:.4f}", int(trial == best[arm])))
    return best


def cell(values: Any, form: str = "{:.1%}") -> str:
    """Returns mean and 95% interval of the seeds."""
    mean, low, high = (form.format(x) for x in interval(values))
    return f"{mean} ({low} to {high})"


def slopes(table: Any) -> Any:
    """Change from task to task by least squares, of each seed."""
    return np.polyfit(np.arange(len(table)), table, 1)[0]


def dormant(run_dir: Path) -> list[float]:
    """Returns the dormant share at the end, of each seed."""
    last = json.loads((run_dir / "summary.json").read_text())["tasks"][-1]
    return [float(x) for x in last["dormant_fraction@0.1"]["per_seed"]]


def report(runs: Path, best: dict[str, str]) -> None:
    """Writes the tables and the figure."""
    found = {arm: accuracies(folder(runs, arm)) for arm in ARMS}
    lines = [
        f"# {NAME}",
        "",
        "`python experiments/random_label_digits.py`; the protocol stands at its beginning. Online",
        "accuracy, mean of 5 seeds (95% interval); the last column is the difference to relu, seed",
        f"by seed. Trials: [{NAME}-tuning.csv]({NAME}-tuning.csv), values of each task and seed:",
        f"[{NAME}.csv]({NAME}.csv).",
        "",
        f"![Online accuracy over the tasks]({NAME}.png)",
        "",
        "| arm | chosen | all 40 tasks | last 10 tasks | from task to task | dormant at end | "
        "against relu |",
        "|---|---|---|---|---|---|---|",
    ]
    order = sorted(ARMS, key=lambda arm: -found[arm].mean() if found[arm].size else 0.0)
    for arm in order:
        x = found[arm]
        chosen = best[arm].removeprefix(ARMS[arm][0]).strip().replace("--", "")
        if not x.size:
            lines.append(f"| {arm} | {chosen} | diverged | | | | |")
            continue
        against = "" if arm == "relu" else cell(x.mean(0) - found["relu"].mean(0), "{:+.1%}")
        cells = (cell(x.mean(0)), cell(x[-10:].mean(0)), cell(slopes(x), "{:+.2%}"))
        share = cell(dormant(folder(runs, arm)), "{:.0%}")
        lines.append(f"| {arm} | {chosen} | {' | '.join(cells)} | {share} | {against} |")
    lines += ["", "| hypothesis | difference (95% interval), n = 5 | |", "|---|---|---|"]
    lines.append(verdict("1 relu loses from task to task", -slopes(found["relu"]), "{:+.2%}"))
    for text, one, other in PAIRS:
        lines.append(verdict(text, found[one].mean(0) - found[other].mean(0)))
    rival = next(arm for arm in order if arm != "adalin-relu")
    gap = found["adalin-relu"].mean(0) - found[rival].mean(0)
    lines.append(verdict(f"7 adalin-relu is the best, here against {rival}", gap))
    (ROOT / f"docs/{NAME}.md").write_text("\n".join(lines) + "\n")
    with (ROOT / f"docs/{NAME}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("arm", "task", "seed", "online_accuracy"))
        for arm, x in found.items():
            for (task, seed), value in np.ndenumerate(x):
                table.writerow((arm, task, seed, f"{value:.5f}"))
    draw(found)


def verdict(text: str, difference: Any, form: str = "{:+.1%}") -> str:
    """Returns a row on a hypothesis that says that a difference is above 0."""
    _, low, high = interval(difference)
    decided = "supported" if low > 0 else "contradicted" if high < 0 else "undecided"
    return f"| {text} | {cell(difference, form)} | {decided} |"


def draw(found: dict[str, Any]) -> None:
    """Draws some of the arms."""
    figure = Figure(figsize=(8, 4.5))
    axis = figure.add_subplot()
    for arm in DRAWN:
        if not found[arm].size:
            continue
        mean, low, high = 100 * intervals(found[arm])
        (line,) = axis.plot(mean, label=arm)
        axis.fill_between(range(len(mean)), low, high, alpha=0.25, color=line.get_color(), lw=0)
    axis.set_xlabel("task (400 updates each)")
    axis.set_ylabel("online accuracy (%)")
    axis.set_title(
        "random labels for 320 digits, drawn anew at each task\n5 seeds, mean and 95% band"
    )
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(ROOT / f"docs/{NAME}.png", dpi=110)


def main() -> None:
    """Tunes, runs and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs") / NAME)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    options = parser.parse_args()
    best = tune(options.runs, options.jobs)
    all_of({folder(options.runs, a): f"{COMMON} {FINAL} {best[a]}" for a in ARMS}, options.jobs)
    report(options.runs, best)


if __name__ == "__main__":
    main()
