"""How long a report takes: ``python benchmarks/report.py > docs/report.md``.

Run directories are written with tables as large as those of long runs: a row for each episode, and
all metrics of a DQN at each probe, ten seeds each.  Then ``report.py`` compares them in a process
of its own, with the files in the page cache.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from plasticity.metrics import DESCRIPTIONS

ROOT = Path(__file__).parent.parent
ACTIVATIONS = ("relu", "adalin-relu", "tanh", "gelu", "elu", "silu", "crelu", "leaky-relu")
SEEDS, VISITS, VISIT, PROBE = 10, 20, 100_000, 10_000
"""Of a run: seeds, task visits, steps of a visit, steps between two probes."""
LAYERS = ("", "/layer_1", "/layer_2")


def main() -> None:
    """Writes runs, compares them, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--megabytes", type=float, default=20, help="of each table")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        rows = table(options.megabytes * 1e6)
        for run in range(options.runs):
            write(folder / "runs" / f"{run:03}", run, rows)
        size = sum(file.stat().st_size for file in folder.rglob("metrics.csv"))
        command = ["report.py", str(folder / "runs"), "--out", str(folder / "report")]
        load = os.getloadavg()[0]
        begin = time.perf_counter()
        report = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
        peak = 0
        while report.poll() is None:
            peak = max(peak, memory(report.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - begin
        page = (folder / "report" / "index.html").stat().st_size
    finally:
        shutil.rmtree(folder)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("# What a report takes\n")
    print(f"`python benchmarks/report.py --runs {options.runs} --megabytes {options.megabytes:g}`,")
    print(f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}.\n")
    print("| | |\n|---|---|")
    print(f"| runs, {SEEDS} seeds each | {options.runs} |")
    print(f"| rows of a table | {len(rows):,} |")
    print(f"| bytes of all tables | {size / 1e9:.2f} GB |")
    print(f"| time, from call to page | {seconds:.1f} s |")
    print(f"| the same, of processors, all processes | {used.ru_utime + used.ru_stime:.1f} s |")
    print(f"| other work on the machine: its load before | {load:.1f} |")
    print(f"| memory of all processes together, at most | {peak / 1e9:.2f} GB |")
    print(f"| page | {page / 1e6:.1f} MB |")


def memory(process: int) -> int:
    """Returns the bytes that a process and its children hold; what they share counts once."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return own + sum(memory(int(child)) for child in children)


def table(size: float) -> list[str]:
    """Returns the rows of a table of about so many bytes; ``{}`` stands for the seed."""
    rng = np.random.default_rng(0)
    names = [name.replace("tau", "0.1") for name in DESCRIPTIONS if not name.startswith("alpha")]
    names = [f"plasticity/q/{name}{layer}" for name in names for layer in LAYERS]
    names += [f"adalin/q/layer_{i}/alpha_mean" for i in (1, 2)]
    rows: list[str] = []
    probes = VISITS * VISIT // PROBE
    inside = len(names) * probes * SEEDS * 68
    every = max(int(VISITS * VISIT * SEEDS * 2 * 34 / max(size - inside, size / 4)), 1)
    for begin in range(0, VISITS * VISIT, PROBE):
        task = begin // VISIT
        for end in range(begin + every, begin + PROBE + 1, every):
            for seed in range(SEEDS):
                rows.append(f"{end},{{{seed}}},{task},0,return/episode,{rng.normal(100, 20):.1f}")
                rows.append(f"{end},{{{seed}}},{task},0,return/length,{every}")
        values = rng.random((len(names), SEEDS))
        rows += [
            f"{begin + PROBE},{{{seed}}},{task},0,{name},{values[i, seed]}"
            for i, name in enumerate(names)
            for seed in range(SEEDS)
        ]
    return rows


def write(folder: Path, run: int, rows: list[str]) -> None:
    """Writes a run directory."""
    folder.mkdir(parents=True)
    group, arm = divmod(run, len(ACTIVATIONS))
    settings = {"activation": ACTIVATIONS[arm], "seed": group * SEEDS, "num_seeds": SEEDS}
    settings |= {"agent": "dqn", "env": "obs-shift-cartpole", "total_steps": VISITS * VISIT}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings | {"steps_per_task": VISIT}))
    text = io.StringIO()
    text.write("step,seed,task,visit,name,value\n")
    seeds = [str(group * SEEDS + i) for i in range(SEEDS)]
    text.write("\n".join(rows).format(*seeds))
    text.write("\n")
    (folder / "metrics.csv").write_text(text.getvalue())


if __name__ == "__main__":
    main()
