"""How fast training is, beside what people use, as tables, a figure and raw numbers.

    python benchmarks/speed.py [--device cuda] [--repetitions 7] [--only peers,seeds,update]

writes docs/speed.md, docs/speed.json, docs/speed.png and the README's table; on a GPU
docs/speed-cuda.*.  A part that is not measured stays as it was.  What is measured stands in

    speed_peers.py     everyone who does the same work, in turns
    speed_seeds.py     ten seeds at once, beside one after another and two processes
    speed_update.py    an update beside its bare matrix products, and how its cost grows
    speed_overhead.py  what the trainer takes for itself

and who trains in speed_contenders.py and plain_loops.py, the tables in speed_report.py and
speed_readme.py.

Peers do the same work: environment, network, batch size, one update for so many steps, target
updates.  Each runs in a process of its own and warms up, compiling included; then all take turns
with chunks of steps, so that what else the machine does meets all alike.  Ratios are medians over
rounds of the two times within a round.

SBX gets an environment of its own, from the package registry; without one it is left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from speed_overhead import overhead
from speed_peers import peers, sbx_python
from speed_process import ROOT
from speed_readme import replace, section
from speed_report import write
from speed_seeds import seeds
from speed_update import growth, updates

DOCS = ROOT / "docs"
PARTS = ("peers", "seeds", "update", "growth", "overhead")


def about(device: str) -> dict[str, Any]:
    """What was measured, and on what."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if "model name" in x), cpu)
    packages = ("torch", "gymnasium", "stable_baselines3", "numpy", "ale-py", "mujoco")
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{cpu}, CPU",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Measures, and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=7, help="rounds, at least 2")
    parser.add_argument("--only", default=",".join(PARTS), help="what to measure")
    parser.add_argument(
        "--sbx-env", type=Path, default=Path.home() / ".cache/adalin-rl/sbx", help="where SBX goes"
    )
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU that PyTorch can use")
    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only should be of {', '.join(PARTS)}. Received {', '.join(unknown)}")
    file = DOCS / f"speed{'-cuda' if args.device == 'cuda' else ''}.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    result["about"] = about(args.device)
    if "peers" in parts:
        result["peers"] = peers(args.device, args.repetitions, sbx_python(args.sbx_env))
    if "seeds" in parts:
        result["seeds"] = seeds(args.device, args.repetitions)
    if "update" in parts:
        result["updates"] = updates(args.device)
    if "growth" in parts:
        result["growth"] = growth(args.device)
    if "overhead" in parts and args.device == "cpu":
        result["overhead"] = overhead()
    file.write_text(json.dumps(result, indent=1) + "\n")
    write(result, file.with_suffix(""))
    if args.device == "cpu":
        readme = ROOT / "README.md"
        readme.write_text(replace(readme.read_text(), section(result)))


if __name__ == "__main__":
    main()
