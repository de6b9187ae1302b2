"""Imports run one way, and only the leaves know stable-baselines3."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "networks": 1,
    "envs": 1,
    "streams": 1,
    "agents": 2,
    "plasticity": 3,
    "configs": 4,
    "training": 4,
    "reports": 5,
    "sweeps": 5,
}
SB3_LEAVES = ("networks/sb3.py", "plasticity/sb3/")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"relative import in {path}"
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", FLOORS)
def test_no_import_goes_up(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        names = set(imported(path))
        for other, floor in FLOORS.items():
            if other in names and other != folder:
                up = floor > FLOORS[folder] or (floor == FLOORS[folder] == 1)
                assert not up, f"{path} imports {other}"
        assert not names & {"train", "supervise", "report", "sweep"}, path
        if path.name not in ("cluster.py", "search.py") or folder != "sweeps":
            assert not names & {"ray", "optuna"}, path
        if not str(path.relative_to(ROOT)).startswith(SB3_LEAVES):
            assert "stable_baselines3" not in names, path
        if folder in ("envs", "streams"):
            assert "torch" not in names, path
        if folder == "streams":
            assert "gymnasium" not in names, path


def test_networks_alone_are_light() -> None:
    code = (
        "import sys, networks; "
        "print([m for m in ('stable_baselines3', 'gymnasium', 'tensorboard') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
