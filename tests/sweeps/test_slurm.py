"""The script for SLURM, with commands that only write down how they were called."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"
NOTE = '#!/bin/bash\necho "$(basename $0) $*" >> "$NOTES"\n'
FAKES = {
    "sbatch": 'exec bash "$@"\n',
    # Its own options off, then the command.
    "srun": 'while [[ $1 == -* ]]; do [[ $1 == -w ]] && shift; shift; done\nexec "$@"\n',
    "scontrol": '[[ $1 == show ]] && printf "n1\\nn2\\nn3\\n"\nexit 0\n',
    "hostname": "echo 10.0.0.1 fe80::1\n",
    "ray": "exec sleep 60\n",
}
SWEEP = {
    "ends": "exit 0\n",
    "fails": "exit 1\n",
    "waits": "trap 'exit 75' TERM\ntouch \"$NOTES.up\"\nwhile :; do sleep 0.05; done\n",
}


def submit(folder: Path, sweep: str) -> tuple[int, list[str]]:
    """Submits the script; returns its exit code, and the calls."""
    for name, does in {**FAKES, "python": SWEEP[sweep]}.items():
        (folder / name).write_text(NOTE + does)
        (folder / name).chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "NOTES": str(folder / "notes"),
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_GPUS_ON_NODE": "8",
        "RAY_WAIT": "0.2",
    }
    job = subprocess.Popen(["sbatch", str(SCRIPT), "s.yaml", "/shared/out"], env=env)
    if sweep == "waits":
        while not (folder / "notes.up").exists():
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
    return job.wait(30), (folder / "notes").read_text().splitlines()


def test_ray_on_each_node_and_the_sweep_on_the_first(tmp_path: Path) -> None:
    code, calls = submit(tmp_path, "ends")
    assert code == 0
    rest = "--num-cpus=32 --num-gpus=8 --disable-usage-stats --block"
    assert [call for call in calls if call.startswith("ray")] == [
        f"ray start --head --node-ip-address=10.0.0.1 --port=6379 {rest}",
        *[f"ray start --address=10.0.0.1:6379 {rest}"] * 2,
    ]
    on = sorted(call.split("-w ")[1].split()[0] for call in calls if "ray start" in call[4:])
    assert on == ["n1", "n2", "n3"]
    assert "python sweep.py s.yaml --out /shared/out --address 10.0.0.1:6379" in calls
    assert not any("requeue" in call for call in calls)


@pytest.mark.parametrize(("sweep", "code", "again"), [("waits", 75, True), ("fails", 1, False)])
def test_the_job_queues_again_when_its_time_is_up(
    sweep: str, code: int, again: bool, tmp_path: Path
) -> None:
    result, calls = submit(tmp_path, sweep)
    assert result == code
    assert ("scontrol requeue 7" in calls) == again
