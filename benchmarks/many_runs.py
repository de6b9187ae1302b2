"""What a sweep costs and survives: ``python benchmarks/many_runs.py > docs/sweeps.md``.

Needs the extra `sweep` and two CPU cores; about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHORT = """
program: train
base:
  env: obs-shift-cartpole
  total-steps: {steps}
  steps-per-task: 500
  checkpoint-every: 250
arms:
  relu: {{activation: relu}}
  adalin-relu: {{activation: adalin-relu}}
  relu+redo: {{activation: relu, mitigation: [redo]}}
seeds: {{first: 0, count: {seeds}, per_trial: 1}}
"""


def main() -> None:
    """Does all, and prints the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["faults", "nodes", "overhead", "scale"])
    parts = parser.parse_args().parts
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = "python benchmarks/many_runs.py [--parts PART ...] > docs/sweeps.md"
    print(f"# Sweeps\n\nMade by `{command}`", end="")
    print(f" on {os.cpu_count()} CPU cores ({platform.machine()}), also busy with other work.")
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            PARTS[part](Path(folder))


def faults(folder: Path) -> None:
    """24 runs; the same with two workers and the driver killed."""
    path = write(folder, "short", steps=1500, seeds=8)
    calm, wild = folder / "calm", folder / "wild"
    seconds = finish(start(path, calm))
    told: list[str] = []
    driver = start(path, wild)
    for done in (2, 6, 12):
        while len(list(wild.glob("*/summary.json"))) < done:
            time.sleep(0.05)
        pid = worker_beyond(wild, 750)
        os.kill(pid if done < 12 else driver.pid, signal.SIGKILL)
        told.append(f"{'a worker' if done < 12 else 'the driver'} after {done}")
    driver.wait()
    finish(start(path, wild))
    same, runs = compare(calm, wild)
    print("\n## Kills\n")
    print(f"24 runs of 1,500 steps, two at once: {status(calm)}, in {seconds:.0f} s. The same")
    print(f"sweep with `kill -9` of {', of '.join(told)} runs were done, and the same command")
    print(f"again: {status(wild)}; `metrics.csv` of {same} of {runs} runs is equal, bit for bit.")


def nodes(folder: Path) -> None:
    """Two machines of Ray, one of which is killed."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 100 << 20}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **store},
    )
    kept, lost = (cluster.add_node(num_cpus=1, **store) for _ in range(2))
    assert kept is not lost
    path = write(folder, "nodes", steps=3000, seeds=2)
    out = folder / "nodes"
    driver = start(path, out, "--address", cluster.address)
    worker_beyond(out, 1000, runs=2)
    cluster.remove_node(lost, allow_graceful=False)
    text = driver.communicate()[0]
    cluster.shutdown()
    moved = [line for line in text.splitlines() if "was lost" in line]
    alone = folder / "nodes-alone"
    finish(start(path, alone))
    same, runs = compare(alone, out)
    print("\n## A machine dies\n")
    print("Two machines of Ray (`ray.cluster_utils.Cluster`), one run on each; one is killed:\n")
    print("".join(f"    {line}\n" for line in moved))
    print(f"{status(out)}; `metrics.csv` of {same} of {runs} runs is equal to an undisturbed")
    print("sweep's, bit for bit.")


def overhead(folder: Path) -> None:
    """The same runs by Ray and by hand, in turns, as other work on the machine comes and goes."""
    from sweeps.cluster import Cluster
    from sweeps.definition import read_sweep
    from sweeps.expansion import expand
    from sweeps.search import Job

    path = write(folder, "long", steps=8_000, seeds=2)
    out, hand = folder / "long", folder / "hand"
    definition = read_sweep(path)
    walls: dict[str, list[float]] = {"by a sweep": [], "by hand": []}
    os.environ |= {"RAY_worker_niceness": "0"}  # 15 otherwise: runs would yield to other work
    begin = time.monotonic()
    cluster = Cluster(definition, str(out), None, 1)
    ray = time.monotonic() - begin
    for trial in expand(definition):
        begin = time.monotonic()
        cluster.start(Job(trial, math.inf))
        (ended,) = cluster.wait(600)
        walls["by a sweep"].append(time.monotonic() - begin)
        assert ended[1].status == "done", ended
        begin = time.monotonic()
        run = out / trial.name / "config.yaml"
        flags = ["--config", str(run), "--run-dir", str(hand / trial.name)]
        command = [sys.executable, str(ROOT / "train.py"), *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls["by hand"].append(time.monotonic() - begin)
    begin = time.monotonic()
    cluster.close()
    ray += time.monotonic() - begin
    same, runs = compare(hand, out)
    print("\n## Overhead\n")
    print(f"{runs} runs of 8,000 steps, one at a time, by Ray and by `python train.py` in turns;")
    print(f"`metrics.csv` of {same} are equal. Seconds of training are those of `summary.json`.\n")
    print("| | seconds | of training | beside training |\n|---|---|---|---|")
    for (name, wall), where in zip(walls.items(), (out, hand), strict=True):
        inner = sum(read(file)["seconds"] for file in where.glob("*/summary.json"))
        print(f"| {name} | {sum(wall):.1f} | {inner:.1f} | {sum(wall) - inner:.1f} |")
    ours, theirs = (sum(wall) for wall in walls.values())
    print(f"\nTo start Ray and to end it took {ray:.1f} s, once for a sweep. With it the runs of")
    print(f"the sweep took {(ours + ray) / theirs:.2f} times as long as by hand, without it")
    print(f"{ours / theirs:.2f} times. Ray's processes had the priority of those by hand")
    print("(`RAY_worker_niceness=0`); by default they yield to other work on the machine.")


def scale(folder: Path) -> None:
    """What one run takes, and what the driver does for each, times ten thousand."""
    path, out = folder / "one.yaml", folder / "one"
    path.write_text("program: train\nbase: {total-steps: 10000}\n")
    finish(start(path, out))
    files = [file for file in next(out.glob("seed=*")).rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    check, hand_out, write_all, resume = driver_costs(folder)
    rows = (
        ("files", f"{len(files)}", f"{len(files) * 10_000:,}"),
        ("MB", f"{size / 1e6:.1f}", f"{size / 1e6 * 10_000:,.0f}"),
        ("checking settings", f"{check * 1e3:.0f} ms", f"{check * 10_000:.0f} s"),
        ("driver: hand out and take", f"{hand_out * 1e3:.2f} ms", f"{hand_out * 10_000:.1f} s"),
        (
            "driver: find it done, after a restart",
            f"{resume * 1e3:.2f} ms",
            f"{resume * 10_000:.1f} s",
        ),
        ("writing `sweep.json` of all", "", f"{write_all:.2f} s"),
    )
    print("\n## 10,000 runs\n")
    print("A run of 10,000 steps (DQN, CartPole, one seed), and the driver beside runs that do")
    print("nothing (2,000 of them). The last column is calculated: ten thousand times the first.\n")
    print("| | one run | 10,000 runs |\n|---|---|---|")
    for name, one, many in rows:
        print(f"| {name} | {one} | {many} |")


def driver_costs(folder: Path) -> tuple[float, float, float, float]:
    """Seconds for each run to check it, hand it out, and find it done; to write all 10,000."""
    import io

    from rich.console import Console

    from sweeps.board import Board
    from sweeps.definition import read_sweep
    from sweeps.driver import Driver
    from sweeps.expansion import Trial, expand
    from sweeps.search import Job, Listed
    from sweeps.storage import Folder
    from sweeps.trial import Outcome

    path = folder / "rates.yaml"
    rates = ", ".join(f"{i / 1e4:.4f}" for i in range(1, 41))
    path.write_text(f"program: train\ngrid: {{dqn.learning-rate: [{rates}]}}\n")
    begin = time.perf_counter()
    definition = read_sweep(path)
    first = expand(definition)[0]
    check = (time.perf_counter() - begin) / 40
    root = Folder(folder / "many")
    trials = [Trial(f"run-{i:05d}", first.settings, first.config) for i in range(2000)]

    class Nothing:
        """Workers that leave a summary, and do nothing else."""

        def __init__(self) -> None:
            self.running: list[Job] = []

        def slots(self) -> int:
            return 64

        def start(self, job: Job) -> None:
            self.running.append(job)

        def wait(self, seconds: float) -> Iterator[tuple[Job, Outcome]]:
            jobs, self.running = self.running, []
            for job in jobs:
                yield job, Outcome("done", 1, 1.0)

        def stop(self) -> None:
            pass

    def sit() -> tuple[float, Board]:
        board = Board(definition, root, Console(file=io.StringIO()))
        driver = Driver(Listed(trials), board, root, Nothing(), None)
        begin = time.perf_counter()
        driver.run()
        return (time.perf_counter() - begin) / len(trials), board

    hand_out, _ = sit()
    summary = json.dumps({"finished": True, "steps": 1, "visits": []})
    for trial in trials:
        root.write(f"{trial.name}/summary.json", summary)
    resume, board = sit()
    rows = list(board.rows.values())
    board.rows = {f"run-{i:05d}": rows[0] for i in range(10_000)}
    begin = time.perf_counter()
    board.save(now=True)
    return check, hand_out, time.perf_counter() - begin, resume


def write(folder: Path, name: str, **values: int) -> Path:
    """Writes a sweep file."""
    path = folder / f"{name}.yaml"
    path.write_text(SHORT.format(**values))
    return path


def start(path: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    """Starts a sweep."""
    own = flags if "--address" in flags else ("--num-cpus", "2", *flags)
    command = [sys.executable, str(ROOT / "sweep.py"), str(path), "--out", str(out), *own]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(sweep: subprocess.Popen[str]) -> float:
    """Waits for a sweep that was just started; returns the seconds that it took."""
    begin = time.monotonic()
    text = sweep.communicate()[0]
    assert sweep.returncode == 0, text
    return time.monotonic() - begin


def worker_beyond(out: Path, step: int, runs: int = 1) -> int:
    """Waits until so many runs that go on have a checkpoint; returns the process of the last."""
    while True:
        time.sleep(0.05)
        found = []
        for folder in out.glob("*/checkpoint"):
            steps = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
            if steps and max(steps) >= step and not (folder.parent / "summary.json").exists():
                found.append(int((folder.parent / ".lock").read_text()))
        if len(found) >= runs:
            return found[-1]


def compare(one: Path, other: Path) -> tuple[int, int]:
    """Returns how many of the runs have equal tables, and how many there are."""
    tables: Sequence[Path] = sorted(one.glob("*/metrics.csv"))
    others = {table: other / table.parent.name / table.name for table in tables}
    same = sum(a.read_bytes() == b.read_bytes() for a, b in others.items() if b.exists())
    return same, len(tables)


def status(out: Path) -> str:
    """Says how many runs are done."""
    count = read(out / "sweep.json")["count"]
    return f"{count['done']} of {count['all']} done"


def read(file: Path) -> Any:
    """Returns a JSON file."""
    return json.loads(file.read_text())


PARTS = {"faults": faults, "nodes": nodes, "overhead": overhead, "scale": scale}

if __name__ == "__main__":
    main()
