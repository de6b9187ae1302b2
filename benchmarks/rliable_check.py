"""Are the statistics of reports those of rliable?

Reports draw whole seeds, whose visits depend on each other; here, as rliable does, each visit
apart.  rliable does not run beside pandas 3, so it has an environment of its own::

    python -m venv /tmp/rliable && /tmp/rliable/bin/pip install rliable "pandas<3"
    python benchmarks/rliable_check.py /tmp/rliable/bin/python > docs/rliable.md

The script makes scores, computes ours, and calls itself with the other interpreter for theirs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

REPEATS, RESAMPLES = 10, 2_000
"""Bootstraps of each interval, with other random numbers, and resamples of each."""
THRESHOLDS = (-0.5, 0.0, 0.5)
Results = dict[str, dict[str, list[float]]]


def main() -> int:
    """Prints the comparison; returns 1 if ours differ by more than chance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", type=Path, help="an interpreter that has rliable")
    parser.add_argument("--theirs", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:  # this is that interpreter, and the argument the scores
        print(json.dumps(theirs(**np.load(options.python))))
        return 0
    x, y = scores()
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/scores.npz", x=x, y=y)
        command = [str(options.python), __file__, f"{folder}/scores.npz", "--theirs"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tell(ours(x, y), json.loads(done.stdout.splitlines()[-1]))


def scores() -> tuple[Any, Any]:
    """Returns scores of two arms, some of them equal: (10, 6) and (7, 6)."""
    rng = np.random.default_rng(0)
    tasks = rng.normal(size=6)
    x, y = (tasks + rng.normal(mean, 1, (n, 6)) for mean, n in ((0.3, 10), (0.0, 7)))
    return x.round(1), y.round(1)


def ours(x: Any, y: Any) -> Results:
    """Computes all with the statistics of reports."""
    from reports import statistics as st

    profile = np.array(THRESHOLDS)

    def bounds(statistic: Callable[..., Any], *arms: Any) -> dict[str, list[float]]:
        found = [
            st.bootstrap(statistic, *arms, seed=i, repeats=RESAMPLES, apart=True)
            for i in range(REPEATS)
        ]
        names = ("value", "low", "high")
        return {n: [np.ravel(one[i]).tolist() for one in found] for i, n in enumerate(names)}  # type: ignore[misc]

    return {
        "IQM of (10, 6)": bounds(st.iqm, x),
        "IQM of (7, 6)": bounds(st.iqm, y),
        "probability of improvement": bounds(st.probability_of_improvement, x, y),
        "profile": bounds(lambda s: st.performance_profile(s, profile), x),
    }


def theirs(x: Any, y: Any) -> Results:
    """Computes all with rliable."""
    from rliable import library, metrics

    profile = np.array(THRESHOLDS)

    def bounds(statistic: Callable[..., Any], arms: Any) -> dict[str, list[float]]:
        found: dict[str, list[Any]] = {"value": [], "low": [], "high": []}
        for i in range(REPEATS):
            np.random.seed(i)  # its bootstrap draws from the global generator
            values, intervals = library.get_interval_estimates(
                {"a": arms}, statistic, reps=RESAMPLES
            )
            for name, row in zip(found, (values["a"], *intervals["a"]), strict=True):
                found[name].append(np.ravel(row).tolist())
        return found

    def iqm(s: Any) -> Any:
        return np.array([metrics.aggregate_iqm(s)])

    def improvement(a: Any, b: Any) -> Any:
        return np.array([metrics.probability_of_improvement(a, b)])

    return {
        "IQM of (10, 6)": bounds(iqm, x),
        "IQM of (7, 6)": bounds(iqm, y),
        "probability of improvement": bounds(improvement, [x, y]),
        "profile": bounds(lambda s: library.score_distributions(s, profile), x),
    }


def tell(our: Results, their: Results) -> int:
    """Prints both beside each other."""
    print("# The statistics of reports beside rliable\n")
    print(
        "`python benchmarks/rliable_check.py PYTHON_WITH_RLIABLE > docs/rliable.md`: scores of two "
        "arms, 10 and 7\nseeds at 6 visits, some of them equal. Values must be the same; bounds of "
        f"95% intervals ({RESAMPLES:,} resamples)\nare means of {REPEATS} bootstraps each, with "
        "the Monte-Carlo standard error of their difference.\n"
    )
    print("| statistic | | ours | rliable | difference | standard error |")
    print("|---|---|---|---|---|---|")
    worst = {"value": 0.0, "bound": 0.0}
    for name, rows in our.items():
        for bound, values in rows.items():
            a, b = np.array(values), np.array(their[name][bound])  # (REPEATS, K)
            error = np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / REPEATS)
            for k, (mine, other, e) in enumerate(zip(a.mean(0), b.mean(0), error, strict=True)):
                which = f"{name} at {THRESHOLDS[k]:g}" if name == "profile" else name
                gap = mine - other
                print(f"| {which} | {bound} | {mine:.4f} | {other:.4f} | {gap:+.4f} | {e:.4f} |")
                kind, size = ("value", gap) if bound == "value" else ("bound", gap / max(e, 1e-9))
                worst[kind] = max(worst[kind], abs(size))
    print(
        f"\nThe largest difference of a value is {worst['value']:.1g}, of a bound "
        f"{worst['bound']:.1f} standard errors."
    )
    return int(worst["value"] > 1e-12 or worst["bound"] > 4)


if __name__ == "__main__":
    sys.exit(main())
