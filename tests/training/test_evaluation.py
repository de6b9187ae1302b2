"""Evaluation on all tasks, fresh agents, and oracles that are told of switches."""

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import configs
import envs
from tests.training.test_resume import parse
from training import Trainer, continual
from training.evaluation import Evaluator, score
from training.fresh import compare, fresh_config, main
from training.worlds import WorldError, Worlds

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = (
    "--env cartpole-gravity --steps-per-task 100 --total-steps 300 --dqn.hidden 8 --num-seeds 2 "
    "--dqn.batch-size 8 --dqn.learning-starts 20 --probe.every 50 --log-every 50 "
)


def trainer(run_dir: Path, flags: str = "") -> Trainer:
    config = parse(f"{SMALL}{flags}", run_dir)
    return Trainer(config, Console(quiet=True))


def rows(run_dir: Path, prefix: str) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["name"].startswith(prefix)]


class Left:
    """Always pushes to the left."""

    def act(self, obs: Any, step: int, *, explore: bool = True) -> Any:
        assert not explore
        return np.zeros(obs.shape[:2], int)


def test_every_task_is_played_with_its_own_seeds() -> None:
    config = configs.parse(f"{SMALL}--eval-every 100 --eval-episodes 3".split())
    evaluator = Evaluator(config)
    left: Any = Left()
    measured = evaluator.evaluate(left, ends=1)
    for task in range(5):
        env = envs.make("cartpole-gravity", task=task)
        for s in range(2):
            returns = []
            for seed in envs.reset_seeds([1_000_000 + s], 3):
                env.reset(seed=seed)
                returns.append(1)
                while not env.step(0)[2]:
                    returns[-1] += 1
            assert measured[f"eval/return/task_{task}"][s] == np.mean(returns)
    scores = envs.scores("cartpole-gravity")
    assert scores is not None
    played = [measured[f"eval/return/task_{k}"][0] for k in range(5)]
    normal = [(x - low) / (500 - low) for x, low in zip(played, scores.random, strict=True)]
    assert measured["eval/normalized/task_3"][0] == pytest.approx(normal[3])
    assert measured["eval/average_performance"][0] == pytest.approx(np.mean(normal))
    assert evaluator.evaluate(left) == measured  # the same episodes each time
    told = evaluator.as_dict()["tasks"]
    assert [t["forgetting"]["mean"] for t in told] == [None, 0.0, None, None, None]
    assert evaluator.evaluate(left, ends=2, stop=lambda: True) == {}
    assert evaluator.as_dict()["tasks"] == told
    evaluator.close()


def test_evaluation_is_written_and_does_not_change_learning(tmp_path: Path) -> None:
    with_it = trainer(tmp_path / "a", "--eval-every 50 --eval-episodes 2")
    without = trainer(tmp_path / "b")
    with_it.run()
    without.run()
    learned: list[Any] = [t.agent.state_dict()["q"] for t in (with_it, without)]
    assert all(torch.equal(learned[0][name], learned[1][name]) for name in learned[0])
    written = rows(tmp_path / "a", "eval/average_performance")
    assert [row["step"] for row in written if row["seed"] == "0"] == list(
        map(str, range(50, 301, 50))
    )
    # At a switch it belongs to the task that ends.
    assert [row["task"] for row in written if row["seed"] == "0"] == list("001122")
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())["evaluation"]
    ends = {row["name"]: float(row["value"]) for row in rows(tmp_path / "a", "eval/normalized")}
    assert summary["tasks"][4]["at_end"]["per_seed"][1] == ends["eval/normalized/task_4"]
    before = [
        float(row["value"])
        for row in rows(tmp_path / "a", "eval/normalized/task_1")
        if (row["step"], row["seed"]) == ("200", "0")
    ]
    first = summary["tasks"][1]
    assert first["at_visit_end"]["per_seed"][0] == before[0]
    lost = np.subtract(first["at_visit_end"]["per_seed"], first["at_end"]["per_seed"])
    assert first["forgetting"]["per_seed"] == lost.tolist()


def test_scores_are_what_the_game_paid() -> None:
    reward, ended = np.array([1.0, -1.0]), np.array([False, True])
    assert score(reward, ended, {}) is reward
    infos = {"score": np.array([7.0, 0.0]), "final_info": {"score": np.array([0.0, -30.0])}}
    assert score(reward, ended, infos).tolist() == [7, -30]
    assert score(reward, ~np.zeros(2, bool), {"final_info": infos["final_info"]}).tolist() == [
        0,
        -30,
    ]


def test_a_fresh_agent_is_the_run_in_its_first_task(tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    trainer(run).run()
    assert main([str(run), "--cache", str(cache)]) == 0
    fresh = json.loads((run / "summary.json").read_text())["fresh"]
    assert [(v["task"], v["visit"], v["end"]) for v in fresh["visits"]] == [
        (0, 0, 100),
        (1, 0, 200),
        (2, 0, 300),
    ]
    assert fresh["visits"][0]["area"] == fresh["visits"][0]["area_of_fresh"]
    second = fresh["visits"][1]
    area, other = (np.array(second[name]["per_seed"]) for name in ("area", "area_of_fresh"))
    assert not np.array_equal(area, other)
    np.testing.assert_allclose(
        second["relative_gain"]["per_seed"], continual.relative_gain(area, other)
    )
    # Fresh runs are kept, and found again by their settings.
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*/metrics.csv")}
    assert len(made) == 3
    assert compare(run, cache, Console(quiet=True))
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/metrics.csv")} == made
    assert len(list(run.glob("*.fresh"))) == 1


def test_fresh_runs_are_told_apart_by_what_matters(tmp_path: Path) -> None:
    def place(flags: str, steps: int = 100) -> str | None:
        config = configs.parse(f"{SMALL}{flags}".split())
        return fresh_config(config, 1, steps, tmp_path).run_dir

    same = ("", "--total-steps 700", "--eval-every 10", "--on-switch reset-agent", "--run-dir x")
    assert len({place(flags) for flags in same}) == 1
    other = ("", "--seed 1", "--activation relu", "--dqn.gamma 0.9", "--show-task", "--num-envs 2")
    assert len({place(flags) for flags in other} | {place("", 50)}) == len(other) + 1


def test_a_broken_fresh_run_is_done_again(tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    trainer(run, "--total-steps 100").run()
    config = configs.parse(["--config", str(run / "config.yaml")])
    broken = Path(fresh_config(config, 0, 100, cache).run_dir or "")
    broken.mkdir(parents=True)
    (broken / "config.yaml").write_text("agent: dqn\n")
    assert compare(run, cache, Console(quiet=True))
    assert json.loads((broken / "summary.json").read_text())["finished"]


def test_an_interrupt_stops_an_evaluation_and_begins_no_visit(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--eval-every 100 --eval-episodes 1")
    act = t.agent.act

    def interrupt(obs: Any, step: int, *, explore: bool = True) -> Any:
        if not explore and t.step == 200:
            t.interrupted = signal.SIGINT
        return act(obs, step, explore=explore)

    t.agent.act = interrupt  # type: ignore[method-assign]  # a user's Ctrl-C in the second one
    t.run()
    assert t.step == 200
    assert {row["step"] for row in rows(tmp_path / "r", "eval/")} == {"100"}
    visits = json.loads((tmp_path / "r" / "summary.json").read_text())["visits"]
    assert [(v["start"], v["end"]) for v in visits] == [(0, 100), (100, 200)]


def test_a_drift_forgets_no_task(tmp_path: Path) -> None:
    command = (
        "--env hopper-mass-drift --agent sac --steps-per-task 30 --total-steps 90 --eval-every 30 "
        f"--eval-episodes 1 --run-dir {tmp_path / 'r'}"
    )
    t = Trainer(configs.parse(command.split()), Console(quiet=True))
    t.run()
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert [(v["task"], v["visit"]) for v in summary["visits"]] == [(0, 0), (0, 1), (0, 2)]
    assert [task["forgetting"]["mean"] for task in summary["evaluation"]["tasks"]] == [None] * 5
    assert all(task["at_end"]["mean"] is not None for task in summary["evaluation"]["tasks"])


VISIT = '"task": 0, "visit": 0, "start": 0, "end": 5, "area_under_curve": {"per_seed": [1.0]}'
WRONG = ('"visits": 5', '"visits": []', '"visits": [{"task": 0}]', f'"visits": [{{{VISIT}}}]')


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", "{", *(f'{{"finished": true, "seeds": [0, 1], {visits}}}' for visits in WRONG)],
)
def test_a_wrong_summary_is_one_line(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.json").write_text(content)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_fresh_agent_that_diverges_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    trainer(run, "--total-steps 100").run()
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("rate: 0.001", "rate: 1.0e+15"))
    assert main([str(run), "--cache", str(tmp_path / "cache")]) == 1
    assert "fresh: stopped: a fresh agent has diverged: a " in capsys.readouterr().err


def test_a_fresh_world_that_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    trainer(run, "--total-steps 100").run()

    def broken(*_: Any) -> None:
        raise WorldError("environment cartpole-gravity has failed")

    monkeypatch.setattr(Worlds, "step", broken)
    assert main([str(run), "--cache", str(tmp_path / "cache")]) == 1
    assert capsys.readouterr().err == "fresh: stopped: environment cartpole-gravity has failed\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--env CartPole-v1", "CartPole-v1 in .* does not change"),
        ("--env hopper-mass-drift --agent sac", "hopper-mass-drift drifts"),
        ("", "holds no run with a summary"),
    ],
)
def test_runs_that_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    if flags:
        command = f"{flags} --total-steps 5 --run-dir {tmp_path / 'run'}"
        Trainer(configs.parse(command.split()), Console(quiet=True)).run()
    assert main([str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]) == 2
    assert capsys.readouterr().err.startswith("fresh: error: ")
    with pytest.raises(ValueError, match=message):
        compare(tmp_path / "run", tmp_path / "cache", Console(quiet=True))


def test_clear_replay_forgets_the_transitions_of_old_tasks(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--on-switch clear-replay --env obs-shift-cartpole")
    t.run()
    assert len(t.replay) == 100
    kept = trainer(tmp_path / "k", "--env obs-shift-cartpole")
    kept.run()
    # It waits until a batch is there again: 280 steps at ratio 0.5, but not the first 7 of a task.
    assert kept.agent.state_dict()["updates"] == 140
    assert t.agent.state_dict()["updates"] == 140 - 2 * 3


def test_reset_agent_begins_anew_at_each_switch(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--on-switch reset-agent")
    first = {name: value.clone() for name, value in t.agent.state_dict()["q"].items()}
    seen = []
    act, update_and_act = t.agent.act, t.agent.update_and_act

    def spy(obs: Any, step: int, *sources: Any, **options: Any) -> Any:
        seen.append((t.step, step))
        return (update_and_act if sources else act)(obs, step, *sources, **options)

    t.agent.act = t.agent.update_and_act = spy  # type: ignore[method-assign]  # the first agent
    before = t.agent
    t.run()
    # Afterwards another agent acts; it does not take what this one has chosen last.
    assert seen == [(k, k) for k in range(101)]
    assert t.agent is not before
    assert t.born == 200
    assert t.agent.state_dict()["updates"] == 40
    fresh = trainer(tmp_path / "f").agent.state_dict()["q"]
    assert all(torch.equal(first[name], fresh[name]) for name in first)


def test_oracles_cut_the_episode_and_need_switches(tmp_path: Path) -> None:
    ant = "--env slippery-ant --agent sac --steps-per-task 10 --total-steps 20 --num-seeds 1"
    config = configs.parse(f"{ant} --on-switch clear-replay --run-dir {tmp_path / 'r'}".split())
    t = Trainer(config, Console(quiet=True))
    t.run()
    assert t.replay.store["ended"][9].all()
    drift = f"--env hopper-mass-drift --agent sac --on-switch reset-agent --run-dir {tmp_path}"
    config = configs.parse(drift.split())
    with pytest.raises(ValueError, match="`on_switch` needs an environment that switches; hopper"):
        Trainer(config, Console())


def test_episodes_count_for_the_task_they_were_played_in(tmp_path: Path) -> None:
    """slippery-ant waits for the end of an episode; the summary goes by the clock."""
    command = (
        f"--env slippery-ant --agent sac --steps-per-task 150 --total-steps 400 --seed 1 "
        f"--sac.learning-starts 1000 --run-dir {tmp_path / 'r'}"
    )
    t = Trainer(configs.parse(command.split()), Console(quiet=True))
    t.run()
    late = [
        (visit.task, step)
        for visit in t.summary.visits
        for step, _, _ in visit.episodes[0]
        if step > visit.end
    ]
    assert late  # an episode that ran on after the clock's switch
    episodes = sorted(s for visit in t.summary.visits for s, _, _ in visit.episodes[0])
    lengths = [length for visit in t.summary.visits for _, _, length in visit.episodes[0]]
    assert episodes[-1] == sum(lengths)  # none was cut or lost
    assert [visit.start for visit in t.summary.visits] == [0, 150, 300]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--env CartPole-v1 --task 0", "--task has no effect: environment CartPole-v1 does not"),
        ("--task 1 --on-switch reset-agent", "--on-switch has no effect: the environment stays"),
        ("--eval-episodes 3", "--eval-episodes has no effect: it needs --eval-every"),
        ("--env cartpole-gravity --task-seed 3", "--task-seed has no effect: the tasks of"),
        ("--eval-every 0", "`eval_every` should be at least 1. Received 0"),
        ("--task-seed -1", "`task_seed` should be at least 0. Received -1"),
        ("--eval-every often", "--eval-every: should be None or of type INT. Received 'often'"),
    ],
)
def test_settings_without_effect_are_refused(flags: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configs.parse(flags.split())


def test_a_task_that_does_not_exist(tmp_path: Path) -> None:
    config = configs.parse(f"--env cartpole-gravity --task 7 --run-dir {tmp_path}".split())
    with pytest.raises(ValueError, match="`task` should be from 0 to 4 .* Received 7"):
        Trainer(config, Console())


def test_the_task_is_shown_on_request(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--show-task --eval-every 100 --eval-episodes 1")
    t.run()
    shown = t.replay.store["obs"][:, 0, 4:]
    assert shown.argmax(1).tolist() == [0] * 100 + [1] * 100 + [2] * 100
    assert torch.equal(shown.sum(1), torch.ones(300))


def test_forgetting_is_drawn(tmp_path: Path) -> None:
    trainer(tmp_path / "r", "--eval-every 100 --eval-episodes 1").run()
    board = EventAccumulator(str(tmp_path / "r")).Reload()
    told = json.loads((tmp_path / "r" / "summary.json").read_text())["evaluation"]["tasks"]
    for task in range(3):
        (point,) = board.Scalars(f"continual/forgetting/task_{task}")
        assert point.step == 300
        assert point.value == pytest.approx(told[task]["forgetting"]["mean"], abs=1e-6)
    assert "continual/forgetting/task_3" not in board.Tags()["scalars"]  # never visited
