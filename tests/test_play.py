"""A trained agent plays what it was trained in, and is filmed."""

import io
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
from rich.console import Console

import agents
import configs
from play import main
from training import Trainer

RUNS = {
    "dqn": "--env cartpole-gravity-small --dqn.hidden 8 --num-seeds 2",
    "sac": "--agent sac --env hopper-mass-small --sac.hidden 8",
    "minatar": "--env MinAtar/Breakout-v0 --dqn.hidden 8",
}


def trained(kind: str, run_dir: Path) -> str:
    settings = RUNS.get(kind, f"--env {kind} --dqn.hidden 8")
    flags = [*settings.split(), "--total-steps", "20", "--run-dir", str(run_dir)]
    Trainer(configs.parse(flags), Console(file=io.StringIO())).run()
    return str(run_dir)


@pytest.fixture(scope="module")
def dqn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that no test changes."""
    return trained("dqn", tmp_path_factory.mktemp("play") / "run")


@pytest.mark.parametrize("kind", RUNS)
def test_it_plays_and_is_filmed(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    run = trained(kind, tmp_path / "run")
    film = tmp_path / "film.mp4"
    assert main([run, "--episodes", "2", "--video", str(film)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("episode 0: return ")
    assert lines[2].startswith("mean return of 2: ")
    steps = sum(int(line.split(", ")[1].removesuffix(" steps")) for line in lines[:2])
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(film))
    assert steps <= frames <= steps + 2  # one more for each reset
    content = film.read_bytes()
    assert main([run, "--episodes", "2"]) == 0  # a film changes nothing
    assert capsys.readouterr().out.splitlines() == lines[:3]
    assert main([run, "--video", str(film)]) == 2
    assert capsys.readouterr().err.startswith("play.py: error: `video` should be a new .mp4 file")
    assert film.read_bytes() == content


def test_greedy_play_repeats_itself(
    dqn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, greedy = [], []
    predict = agents.Trained.predict

    def noted(self: agents.Trained, obs: Any, *, deterministic: bool) -> Any:
        greedy.append(deterministic)
        return predict(self, obs, deterministic=deterministic)

    monkeypatch.setattr(agents.Trained, "predict", noted)
    for more in ([], [], ["--stochastic"]):
        assert main([dqn, *more]) == 0
        outputs.append(capsys.readouterr().out)
        assert {*greedy} == {not more}
        greedy.clear()
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{run}", "--task", "5"], "`task` should be from 0 to 4"),
        (["{run}", "--seed", "2"], "`seed` should be one of [0, 1]. Received 2"),
        (["{run}", "--episodes", "0"], "`episodes` should be at least 1. Received 0"),
        (["{run}", "--video", "film.avi"], "`video` should be a new .mp4 file"),
        (["{run}", "--video", "{run}/no/film.mp4"], "`video` should be in a folder that exists"),
        (["{run}/nowhere"], "the preset {run}/nowhere/config.yaml cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    args: list[str], message: str, dqn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([arg.format(run=dqn) for arg in args]) == 2
    refused(message.format(run=dqn), capsys)


def refused(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = capsys.readouterr().err
    assert error.startswith(f"play.py: error: {message}")
    assert error.count("\n") == 1


def test_the_last_sound_checkpoint_plays(
    dqn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(dqn, tmp_path / "run")
    (state,) = (path for path in (run / "checkpoint").iterdir() if path.name.isdigit())
    newer = shutil.copytree(state, run / "checkpoint/99")
    (newer / "state.json").write_text("{}")
    assert main([str(run)]) == 0
    error = capsys.readouterr().err
    assert error.startswith(f"play.py: warning: {newer}/state.json does not have the size")
    assert error.count("\n") == 1
    (state / "manifest.json").write_text("[]")
    assert main([str(run)]) == 2
    refused(f"{newer}/state.json does not", capsys)
    shutil.rmtree(run / "checkpoint")
    assert main([str(run)]) == 2
    refused(f"{run}/checkpoint holds no saved state", capsys)


def test_an_agent_of_another_world_is_refused(
    dqn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(dqn, tmp_path / "run")
    (run / "config.yaml").write_text("env: MountainCar-v0\n")
    assert main([str(run)]) == 2
    refused("MountainCar-v0 has the observations Box", capsys)


def test_an_interrupt_ends_it_quietly(
    dqn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(agents.Trained, "predict", interrupted)
    assert main([dqn, "--video", str(tmp_path / "film.mp4")]) == 130
    assert capsys.readouterr() == ("", "")
    assert not any(tmp_path.iterdir())


class Plain(gym.Env[Any, Any]):
    """A world of 50 steps that fails at a step, and whose pictures are what it is told."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    fails_at, picture = 0, None

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == self.fails_at:
            raise RuntimeError("the simulator\nhas crashed")
        return np.zeros(2, np.float32), 1.0, self.steps == 50, False, {}

    def render(self) -> Any:
        if self.picture == "raise":
            raise RuntimeError("no\nscreen")
        return self.picture


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> str:
    gym.registry.pop("tests/Plain-v0", None)
    gym.register("tests/Plain-v0", entry_point=lambda **kwargs: Plain(**kwargs))
    return "tests/Plain-v0"


def test_what_cannot_be_drawn_is_said_in_one_line(
    plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, film = trained(plain, tmp_path / "run"), tmp_path / "film.mp4"
    for picture, reason in ((None, "it gave no picture"), ("raise", "RuntimeError: no screen")):
        monkeypatch.setattr(Plain, "picture", picture)
        assert main([run, "--video", str(film)]) == 2
        refused(f"`video` is not for {plain}, which cannot be drawn: {reason}", capsys)
        assert not film.exists()


def test_a_world_that_fails_is_named(
    plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(plain, tmp_path / "run")
    monkeypatch.setattr(Plain, "fails_at", 5)
    assert main([run]) == 1
    failure = f"environment {plain} has failed: RuntimeError: the simulator has crashed"
    assert capsys.readouterr().err == f"play.py: stopped: {failure}\n"
