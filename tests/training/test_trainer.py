"""The loop: what is stored, when it learns, what is written, how it stops."""

import csv
import io
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import configs
import train
from agents import saving
from tests.training.test_resume import parse
from training import NonFiniteError, Trainer

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL = "--env obs-shift-cartpole --steps-per-task 100 --total-steps 300 --dqn.hidden 8 8 "
PROBED = "--probe.every 7 --probe.batch-size 99 --probe.dear-every 20 --probe.refit-every 50"
SAC = "--agent sac --env Pendulum-v1 --total-steps 300 --sac.hidden 8 8 --sac.batch-size 8 "
FAST = "--dqn.batch-size 8 --dqn.learning-starts 20 --probe.every 50 --log-every 50 "


def trainer(run_dir: Path, flags: str = "") -> Trainer:
    return Trainer(parse(f"{SMALL}{FAST}{flags}", run_dir), Console(quiet=True))


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("num_envs", [1, 2])
def test_no_stored_transition_spans_two_tasks(tmp_path: Path, num_envs: int) -> None:
    """Offsets of this size show at once which task an observation is from."""
    t = trainer(tmp_path / "r", f"--num-envs {num_envs} --num-seeds 2")
    t.run()
    count = t.replay.steps
    assert count == 300 // num_envs
    for s, seed in enumerate((0, 1)):
        offsets = np.random.default_rng((seed, 0)).normal(0, 2, (2, 4))
        offsets = np.concatenate((np.zeros((1, 4)), offsets))
        for step in range(count):
            task = step * num_envs // 100
            for name in ("obs", "next_obs"):
                seen = t.replay.store[name][step, s * num_envs] - torch.tensor(offsets[task])
                assert abs(seen[2]) < 0.45, (step, name)  # CartPole ends at 0.21 rad
    switches = [100 // num_envs - 1, 200 // num_envs - 1]
    assert t.replay.store["ended"][switches].all()
    terminated = t.replay.store["terminated"]
    assert not terminated[switches].all()


@pytest.mark.parametrize(
    ("env", "frames"),
    [
        ("ale-freeway-modes", 60 + 2),  # a start that is padded has two
        ("ale-freeway-modes --show-task", 60 + 1),  # one frame is the whole observation
        ("minatar-3", None),
        ("CartPole-v1", None),
    ],
)
def test_games_of_ale_have_each_frame_stored_once(
    env: str, frames: int | None, tmp_path: Path
) -> None:
    flags = f"--env {env} --total-steps 60 --dqn.hidden 8 --run-dir {tmp_path / 'r'}"
    t = Trainer(configs.parse(flags.split()), Console(quiet=True))
    t.run()
    assert t.replay.state_dict().get("frames") == frames


def test_spaces_of_several_arrays_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"--env Blackjack-v1 --total-steps 20 --run-dir {tmp_path / 'r'}"
    assert train.main(flags.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "train.py: error: agents need spaces of single arrays, as Box. Received"
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("cadence", "dear", "steps"),
    [
        (30, 50, [60, 100, 150, 200, 270, 300]),  # the first probe from 50, 100, 150, ... on
        (25, 50, [50, 100, 150, 200, 250, 300]),
        (60, 20, [60, 100, 120, 180, 200, 240, 300]),  # each; at switches, too
        (80, 90, [100, 200, 300]),  # of 80, 100, 160, 200, 240, 300
        (45, 100, [100, 200, 300]),
    ],
)
@pytest.mark.parametrize("num_envs", [1, 2])
def test_dear_metrics_come_with_the_first_probe_that_may_bring_them(
    cadence: int, dear: int, steps: list[int], num_envs: int, tmp_path: Path
) -> None:
    flags = f"--probe.every {cadence} --probe.dear-every {dear} --num-envs {num_envs}"
    trainer(tmp_path / "r", flags).run()
    name = "plasticity/q/effective_rank/layer_1"
    assert [int(row["step"]) for row in rows(tmp_path / "r") if row["name"] == name] == steps


def test_updates_follow_the_replay_ratio(tmp_path: Path) -> None:
    for ratio, expected in ((0.25, 70), (1.0, 280), (2.5, 700)):
        t = trainer(tmp_path / str(ratio), f"--dqn.replay-ratio {ratio}")
        t.run()
        assert t.agent.state_dict()["updates"] == expected  # of the 280 steps after the first 20


def test_turns_of_updates_make_up_for_the_steps_between(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--dqn.replay-ratio 0.5 --dqn.learn-every 8")
    done = []
    while t.step < 60:
        t.advance() if t.obs is not None else t.begin()
        done.append(t.agent.state_dict()["updates"])
    # Of turns at 24, 32, 40, 48, 56 after 20 random steps.
    assert [done[step] for step in (23, 24, 31, 32, 40, 48, 60)] == [0, 2, 2, 6, 10, 14, 18]


def test_the_last_turn_is_as_long_as_the_others(tmp_path: Path) -> None:
    for every, expected in ((7, 294 - 20), (300, 280), (301, 0)):
        t = trainer(tmp_path / str(every), f"--dqn.replay-ratio 1 --dqn.learn-every {every}")
        t.run()
        assert t.agent.state_dict()["updates"] == expected


@pytest.mark.parametrize(
    "flags",
    [
        "--dqn.learn-every 4 --dqn.replay-ratio 1 --dqn.target-every 3",
        "--num-envs 2 --dqn.replay-ratio 3 --num-seeds 2",
        "--dqn.learn-every 4 --dqn.replay-ratio 1 --mitigation redo --redo.every 3",
        "--dqn.learn-every 4 --dqn.replay-ratio 1 --overlap",
    ],
)
def test_updates_in_one_call_change_nothing(flags: str, tmp_path: Path) -> None:
    tables, calls = [], []
    for count in (1, 4):
        t = trainer(tmp_path / str(count), flags)
        learn = t.agent.learn  # type: ignore[attr-defined]  # of DQN
        t.agent.learn = lambda sources, *rest, of=learn: (  # type: ignore[attr-defined]
            calls.append(len(sources)) or of(sources, *rest)  # type: ignore[func-returns-value]
        )
        t.together = count
        t.run()
        tables.append((tmp_path / str(count) / "metrics.csv").read_bytes())
    assert tables[0] == tables[1]
    assert (4 in calls) is ("--mitigation" not in flags)


@pytest.mark.parametrize(
    "flags",
    [
        f"{SMALL}{FAST}--dqn.replay-ratio 0.5 --num-envs 2 --num-seeds 2",
        f"{SAC}--sac.learning-starts 20 --num-seeds 2",
        f"{SMALL}{FAST}--on-switch reset-agent",
        f"{SMALL}{FAST}--mitigation redo --redo.every 3",
    ],
)
def test_actions_chosen_in_the_call_of_an_update_change_nothing(
    flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, calls = [], []
    for ahead in (True, False):
        config = configs.parse(f"{flags} --run-dir {tmp_path / str(ahead)}".split())
        t = Trainer(config, Console(quiet=True))
        if not ahead:
            update = Trainer._update
            monkeypatch.setattr(
                Trainer,
                "_update",
                lambda self, places, wish, of=update: calls.append(wish) or of(self, places, False),  # type: ignore[func-returns-value]
            )
        t.run()
        tables.append((tmp_path / str(ahead) / "metrics.csv").read_bytes())
    assert tables[0] == tables[1]
    assert any(calls) is ("--mitigation" not in flags)


def test_while_it_trains_tiny_numbers_are_zero(tmp_path: Path) -> None:
    t, seen, tiny = trainer(tmp_path / "r"), list[float](), torch.tensor(1e-39)
    t.on_look = lambda: seen.append((tiny * 1.0).item())
    t.run()
    assert set(seen) == {0.0}
    assert (tiny * 1.0).item() > 0  # as before


def test_files_of_a_run(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r", "--num-seeds 2 --seed 5 --checkpoint-every 150")
    t.run()
    written = rows(tmp_path / "r")
    assert list(written[0]) == ["step", "seed", "task", "visit", "name", "value"]
    assert {row["seed"] for row in written} == {"5", "6"}
    names = {row["name"] for row in written}
    assert names >= {
        "return/episode",
        "plasticity/q/dormant_fraction@0.1",
        "plasticity/q/dormant_fraction@0/layer_1",
        "plasticity/q/effective_rank",
        "plasticity/q/grad_norm",
        "adalin/q/layer_2/alpha_mean",
        "train/loss/q",
    }
    assert {row["task"] for row in written if row["name"] == "return/episode"} == {"0", "1", "2"}
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["finished"]
    assert [(v["task"], v["start"], v["end"]) for v in summary["visits"]] == [
        (0, 0, 100),
        (1, 100, 200),
        (2, 200, 300),
    ]
    again = configs.parse(["--config", str(tmp_path / "r" / "config.yaml")])
    assert again.used() == {**t.config.used(), "run_dir": None}


@pytest.mark.parametrize(
    ("flags", "parameters"),
    [  # 4 inputs, 2 actions; of SAC both critics count
        ("--activation relu --dqn.hidden 64 64", "q 4,610"),
        ("--activation crelu --dqn.hidden 64 64", "q 8,834"),
        ("--activation crelu --halve-widths --dqn.hidden 64 64", "q 2,370"),
        (f"{SAC} --activation relu", "actor 122, critic 242"),
    ],
)
def test_the_number_of_parameters_is_shown(tmp_path: Path, flags: str, parameters: str) -> None:
    console = Console(record=True, file=io.StringIO())
    short = f"{SMALL}{FAST}" if "sac" not in flags else ""
    given = f"{short}{flags} --total-steps 100 --num-seeds 2 --run-dir {tmp_path / 'r'}"
    Trainer(configs.parse(given.split()), console).run()
    assert f"parameters of each seed: {parameters}\n" in console.export_text()


@pytest.mark.parametrize(("total", "warned"), [(100, True), (101, False)])
def test_a_budget_shorter_than_the_first_task_is_a_warning(
    tmp_path: Path, total: int, warned: bool
) -> None:
    console = Console(record=True, file=io.StringIO())
    flags = f"{SMALL}{FAST}--total-steps {total} --run-dir {tmp_path / 'r'}"
    Trainer(configs.parse(flags.split()), console).run()
    assert ("warning: the first task lasts 100 steps" in console.export_text()) == warned


@pytest.mark.parametrize(
    ("flags", "warning"),
    [  # two switches, at steps 20 and 40
        ("--total-steps 60", ""),
        (
            "--total-steps 61",
            "at step 40 and stays for the 21 that are left; --cyclic begins",
        ),
        ("--total-steps 61 --cyclic", ""),
    ],
)
def test_a_budget_longer_than_the_sequence_is_a_warning(
    tmp_path: Path, flags: str, warning: str
) -> None:
    console = Console(record=True, file=io.StringIO(), width=200)
    where = f"--env minatar-3 --steps-per-task 20 {flags} --run-dir {tmp_path / 'r'}"
    t = Trainer(configs.parse(f"{FAST}{where}".split()), console)
    shown: Any = t.worlds.vector
    assert shown.envs[0].schedule == t.schedule  # what is played is what is written down
    t.run()
    said = console.export_text()
    assert ("warning: the last task" in said) == bool(warning)
    assert warning in said


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer(tmp_path / name, "--num-seeds 2").run()
    first, second = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(
    "flags",
    [
        f"{SMALL}{FAST}--mitigation redo --redo.every 20 --activation aid",
        f"{SAC}--sac.learning-starts 20 --mitigation continual-backprop",
    ],
    ids=["dqn", "sac"],
)
def test_runs_with_and_without_the_probe_learn_bit_for_bit_the_same(
    tmp_path: Path, flags: str
) -> None:
    learned = []
    for name, probe in {"with": PROBED, "without": "--probe.every 1000000"}.items():
        config = configs.parse(f"{flags} --num-seeds 2 --run-dir {tmp_path / name} {probe}".split())
        t = Trainer(config, Console(quiet=True))
        t.run()
        learned.append([p for of in t.learners.values() for p in of.network.parameters()])
    assert all(torch.equal(x, y) for x, y in zip(*learned, strict=True))


def test_the_age_of_what_is_drawn_is_logged(tmp_path: Path) -> None:
    trainer(
        tmp_path / "r", "--mitigation sample-weight-decay --sample-weight-decay.decay-steps 50"
    ).run()
    name = "mitigation/sample-weight-decay/replay/mean_age"
    found = [r for r in rows(tmp_path / "r") if r["name"] == name]
    assert [int(r["step"]) for r in found] == [50, 100, 150, 200, 250, 300]
    shares = [float(r["value"]) / int(r["step"]) for r in found]
    assert 0 < np.mean(shares) < 0.42  # about a third; drawn uniformly it would be a half


def test_seed_three_alone_begins_as_among_five(tmp_path: Path) -> None:
    trainer(tmp_path / "five", "--num-seeds 5 --total-steps 100").run()
    trainer(tmp_path / "one", "--seed 3 --total-steps 100").run()
    episodes = [
        [(r["step"], r["value"]) for r in rows(tmp_path / name) if r["seed"] == "3"][:6]
        for name in ("five", "one")
    ]
    assert episodes[0] == episodes[1]


def test_checkpoint_restores_the_agent(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r")
    t.run()
    state = saving.newest(tmp_path / "r" / "checkpoint")[1]
    assert state["trainer"]["step"] == 300
    fresh = trainer(tmp_path / "fresh", "--seed 9")
    fresh.agent.load_state_dict(state["agent"])
    batch = t.replay.sample(8)
    for a, b in zip(
        t.agent.update(batch).values(), fresh.agent.update(batch).values(), strict=True
    ):
        assert torch.equal(a, b)


def test_checkpoint_of_layers_that_share_one_alpha(tmp_path: Path) -> None:
    flags = "--activation adalin-tanh --adalin.granularity network --adalin.init uniform"
    first = trainer(tmp_path / "r", flags)
    first.run()
    fresh = trainer(tmp_path / "fresh", f"{flags} --seed 5")
    fresh.agent.load_state_dict(saving.newest(tmp_path / "r" / "checkpoint")[1]["agent"])
    alphas = [
        [value for name, value in t.agent.state_dict()["q"].items() if name.endswith("alpha")]
        for t in (first, fresh)
    ]
    assert len(alphas[0]) == 2
    assert all(map(torch.equal, *alphas))
    first_layer, second_layer = fresh.agent.learners()["q"].network.torso.dense  # type: ignore[union-attr, misc]
    assert first_layer.activation.alpha is second_layer.activation.alpha


def test_checkpoint_before_the_first_update_can_be_loaded(tmp_path: Path) -> None:
    trainer(tmp_path / "r", "--dqn.learning-starts 1000").run()
    state = saving.newest(tmp_path / "r" / "checkpoint")[1]
    trainer(tmp_path / "fresh").agent.load_state_dict(state["agent"])
    assert state["agent"]["updates"] == 0


def test_an_interrupt_ends_after_the_step_with_all_files(tmp_path: Path) -> None:
    t = trainer(tmp_path / "r")
    learn = t.agent.learn  # type: ignore[attr-defined]  # of DQN

    def interrupt(*batch: Any) -> Any:
        import signal

        if t.step == 120:
            signal.raise_signal(signal.SIGINT)
        return learn(*batch)

    t.agent.learn = interrupt  # type: ignore[attr-defined]  # a user's Ctrl-C
    t.run()
    assert t.interrupted
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (summary["finished"], summary["steps"]) == (False, 120)
    assert saving.newest(tmp_path / "r" / "checkpoint")[1]["trainer"]["step"] == 120


@pytest.mark.parametrize(("where", "what"), [("loss", "a loss"), ("weight", "a parameter")])
def test_numbers_that_are_not_finite_stop_the_run(tmp_path: Path, where: str, what: str) -> None:
    t = trainer(tmp_path / "r", "--num-seeds 2 --seed 4")
    learn = t.agent.learn  # type: ignore[attr-defined]  # of DQN

    def poison(*batch: Any) -> Any:
        metrics = learn(*batch)
        if where == "loss":
            metrics["loss/q"][1] = float("nan")
        elif t.step == 50:  # no loss has felt it yet
            network: Any = t.agent.learners()["q"].network
            with torch.no_grad():
                network.head.weight[1, 0, 0] = float("inf")
        return metrics

    t.agent.learn = poison  # type: ignore[attr-defined]  # a diverging agent
    with pytest.raises(NonFiniteError, match=f"{what} of network q, seed 5, is .* at step 50"):
        t.run()
    assert saving.load(tmp_path / "r" / "checkpoint" / "failed")["trainer"]["step"] == 50
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["finished"] is False


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    trainer(tmp_path / "r")
    with pytest.raises(ValueError, match=r"another configuration \(dqn.gamma: 0.99 -> 0.5; seed: "):
        trainer(tmp_path / "r", "--dqn.gamma 0.5 --seed 3")
    (tmp_path / "r" / "summary.json").touch()
    with pytest.raises(ValueError, match="without a checkpoint to go on from"):
        trainer(tmp_path / "r")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"the run directory .* cannot be written"):
        trainer(tmp_path / "file" / "r")


def test_networks_without_hidden_layers_run(tmp_path: Path) -> None:
    trainer(tmp_path / "r", "--dqn.hidden").run()
    assert not any("dormant" in row["name"] for row in rows(tmp_path / "r"))


def test_an_absent_device_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda is not available"):
        trainer(tmp_path / "r", "--device cuda")
    assert not (tmp_path / "r").exists()


def test_a_clone_that_is_not_installed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    versions = []
    for name in "ab":
        trainer(tmp_path / name, "--total-steps 30").run()
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["torch"] == torch.__version__
        assert summary["cpu"] == torch.backends.cpu.get_cpu_capability()
        versions.append(summary["version"])
        monkeypatch.setattr("training.loop.version", absent)
    assert versions == [version("adalin-rl"), "not installed"]


@pytest.mark.parametrize("overlap", [False, True])
def test_who_learns_beside_the_environments_does_so_from_what_was_there(
    tmp_path: Path, overlap: bool
) -> None:
    t = trainer(tmp_path / "r", "--total-steps 40 --num-envs 2" + " --overlap" * overlap)
    seen = []
    learn = t.agent.learn  # type: ignore[attr-defined]  # of DQN

    def noted(*args: Any) -> Any:
        seen.append((t.step, t.replay.steps))
        return learn(*args)

    t.agent.learn = noted  # type: ignore[attr-defined]  # the same, noted
    t.run()
    reached = range(22, 41, 2)  # a step of two environments brings one update
    assert seen == [(step - 2 * overlap, step // 2 - overlap) for step in reached]


def test_each_cadence_is_kept(tmp_path: Path) -> None:
    flags = "--total-steps 100 --probe.every 20 --log-every 30 --checkpoint-every 70"
    t = trainer(tmp_path / "r", flags)
    saved: list[int] = []
    save = t.save

    def counted() -> None:
        saved.append(t.step)
        save()

    t.save = counted  # type: ignore[method-assign]  # the same, and it is noted
    t.run()
    steps = {
        name: {int(row["step"]) for row in rows(tmp_path / "r") if row["name"] == name}
        for name in ("plasticity/q/dormant_fraction@0.1", "train/loss/q")
    }
    assert steps["plasticity/q/dormant_fraction@0.1"] == {20, 40, 60, 80, 100}
    assert steps["train/loss/q"] == {30, 60, 90, 100}
    assert saved == [70, 100]
