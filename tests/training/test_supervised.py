"""Supervised runs: what is measured, and that a run broken off goes on as if it never was."""

import csv
import io
import json
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import configs
from agents import saving
from configs import SupervisedConfig
from plasticity import MITIGATIONS
from streams import STREAMS
from tests.training.test_resume import compare
from training import NonFiniteError, SupervisedTrainer

SMALL = (
    "--num-tasks 3 --images-per-task 40 --batch-size 8 --epochs 2 --num-seeds 2 "
    "--probe.every 4 --probe.batch-size 16 --probe.dear-every 8 --log-every 3 "
    "--checkpoint-every 7 --learning-rate 0.1 "
)
"""Three tasks of 10 updates."""
OUT_OF_PLACE = {"sample-weight-decay"}


def trainer(flags: str, run_dir: Path) -> SupervisedTrainer:
    hidden = "" if "simba" in flags else "--hidden 8 8"
    command = [*f"{SMALL} {hidden} {flags}".split(), "--run-dir", str(run_dir)]
    config = configs.parse_as(SupervisedConfig, command)
    return SupervisedTrainer(config, Console(file=io.StringIO()))


def run(
    flags: str, run_dir: Path, stop: int | None = None, copies: dict[int, Path] | None = None
) -> SupervisedTrainer:
    """Trains; is interrupted at update ``stop``, copied at others as a kill leaves its files."""
    t = trainer(flags, run_dir)
    advance, left = t.advance, dict(copies or {})

    def watched() -> None:
        advance()
        if t.step == stop:
            t.interrupted = signal.SIGINT
        if t.step in left:
            shutil.copytree(run_dir, left.pop(t.step))

    t.advance = watched  # type: ignore[method-assign]
    t.run()
    return t


def rows(t: SupervisedTrainer) -> list[dict[str, str]]:
    with (t.run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(one: SupervisedTrainer, other: SupervisedTrainer) -> None:
    tables = [(t.run_dir / "metrics.csv").read_bytes() for t in (one, other)]
    assert tables[0] == tables[1]
    states = [saving.newest(t.run_dir / "checkpoint")[1] for t in (one, other)]
    for state in states:
        assert state["trainer"]["step"] == one.total_steps
        del state["trainer"]["seconds"], state["tracker"]["sizes"]
    compare(states[0], states[1])


@pytest.mark.parametrize(
    "flags",
    [
        "--stream random-label",
        "--stream permuted --augment --momentum 0.9 --mitigation redo --redo.every 5",
        "--stream shuffled --optimizer adam --activation crelu --mitigation snr "
        "--mitigation c-chain",
        "--stream class-incremental --mitigation shrink-perturb --shrink-perturb.every 6",
    ],
)
def test_kills_and_interruptions_leave_no_trace(flags: str, tmp_path: Path) -> None:
    killed = {step: tmp_path / f"killed-{step}" for step in (6, 10, 17, 25)}
    whole = run(flags, tmp_path / "whole", copies=killed)
    for copy in killed.values():
        assert_same(run(flags, copy), whole)
    for stop in (5, 20):
        broken = run(flags, tmp_path / f"broken-{stop}", stop=stop)
        assert not broken.finished
        assert_same(run(flags, broken.run_dir), whole)


def test_more_tasks_go_on_as_if_they_had_been_asked_for(tmp_path: Path) -> None:
    whole = run("--stream permuted --num-tasks 4", tmp_path / "whole")
    first = run("--stream permuted --num-tasks 2 ", tmp_path / "longer")
    longer = run("--stream permuted --num-tasks 4", tmp_path / "longer")
    assert (first.total_steps, longer.total_steps) == (20, 40)
    assert longer.summary.as_dict()["tasks"][3] == whole.summary.as_dict()["tasks"][3]
    with pytest.raises(ValueError, match="`num_tasks` should be at least the 4 of the run"):
        trainer("--stream permuted --num-tasks 3", tmp_path / "longer")


@pytest.mark.parametrize("stream", STREAMS)
def test_accuracies_are_those_of_what_was_shown(stream: str, tmp_path: Path) -> None:
    t = trainer(f"--stream {stream}", tmp_path / "r")
    update, seen = t.agent.update, []

    def noted(*args: Any) -> dict[str, torch.Tensor]:
        metrics = update(*args)
        seen.append(metrics["accuracy"].tolist())
        return metrics

    t.agent.update = noted  # type: ignore[assignment,method-assign]  # the same, noted
    t.run()
    ends = [0, *t.feed.ends]
    found = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert found["steps"] == ends[-1] == len(seen)
    online = [np.mean(seen[a:b], 0) for a, b in pairwise(ends)]
    for task, expected in zip(found["tasks"], online, strict=True):
        assert task["accuracy/online"]["per_seed"] == pytest.approx(expected.tolist())
        assert (task["accuracy/test"]["mean"] is None) == (stream == "random-label")
        assert 0 <= task["accuracy/train"]["mean"] <= 1
    average = found["average_online_accuracy"]["per_seed"]
    assert average == pytest.approx(np.mean(online, 0).tolist())
    written = [r for r in rows(t) if r["name"] == "accuracy/online" and r["seed"] == "1"]
    assert [int(r["task"]) for r in written] == [0, 1, 2]
    assert [float(r["value"]) for r in written] == pytest.approx([o[1] for o in online])
    recent = [r for r in rows(t) if r["name"] == "train/accuracy" and r["seed"] == "0"]
    assert float(recent[0]["value"]) == pytest.approx(np.mean([s[0] for s in seen[:3]]))


def test_end_accuracies_are_those_of_the_network(tmp_path: Path) -> None:
    t = run("--stream shuffled --num-tasks 1", tmp_path / "r")
    with torch.no_grad():
        images = torch.from_numpy(t.stream.images.test)
        logits = t.agent.network(images.expand(2, *images.shape))
    for s, task in enumerate(t.feed.tasks):
        right = logits[s, task.test_examples].argmax(-1).numpy() == task.test_labels
        assert t.summary.now.test[s] == pytest.approx(right.mean())


def test_the_probe_does_not_change_learning(tmp_path: Path) -> None:
    one = run("--activation aid", tmp_path / "a")
    other = run("--activation aid --probe.every 1000 --log-every 1000", tmp_path / "b")
    for a, b in zip(one.agent.network.parameters(), other.agent.network.parameters(), strict=True):
        assert torch.equal(a, b)
    names = {row["name"] for row in rows(one)}
    assert names >= {
        "plasticity/classifier/dormant_fraction@0.1",
        "plasticity/classifier/one_step_plasticity",
        "plasticity/classifier/policy_churn",
        "plasticity/classifier/grad_norm",
        "plasticity/classifier/effective_rank",
    }


def test_a_seed_alone_is_the_seed_among_others(tmp_path: Path) -> None:
    many = run("--stream permuted --augment", tmp_path / "many")
    one = run("--stream permuted --augment --seed 1 --num-seeds 1", tmp_path / "one")
    found = [t.summary.as_dict()["tasks"][0]["accuracy/online"]["per_seed"] for t in (many, one)]
    assert found[0][1:] == pytest.approx(found[1], abs=0.02)
    pairs = zip(many.agent.network.parameters(), one.agent.network.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a[1], b[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in MITIGATIONS if name not in OUT_OF_PLACE])
def test_every_remedy_is_at_work(name: str, tmp_path: Path) -> None:
    every = f"--{name}.every 5" if hasattr(MITIGATIONS[name].config(), "every") else ""
    flags = f"--stream shuffled --mitigation {name} {every} --num-tasks 2"
    t = run(f"{flags} --activation relu" if name == "snr" else flags, tmp_path / "r")
    assert t.finished
    assert any(row["name"].startswith(f"mitigation/{name}/classifier/") for row in rows(t))


def test_statistics_of_simba_are_those_of_what_was_shown(tmp_path: Path) -> None:
    t = trainer("--stream permuted --mitigation simba --num-tasks 1", tmp_path / "r")
    shown = [t.feed.gather(t.feed.draw(step)).images.flatten(2).double() for step in range(10)]
    t.run()
    network: Any = t.agent.network
    mean = torch.cat(shown, 1).mean(1)  # (S, 64)
    torch.testing.assert_close(network.torso.running_norm.mean.double(), mean, rtol=1e-4, atol=1e-3)


def test_numbers_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="of network classifier, seed 0, is nan at step"):
        run("--learning-rate 1e15 --stream shuffled", tmp_path / "r")
    assert (tmp_path / "r" / "checkpoint" / "failed").is_dir()
