"""A trained agent plays what it was trained in, and is filmed."""

import io
from pathlib import Path
from typing import Any

import imageio_ffmpeg
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
    flags = [*RUNS[kind].split(), "--total-steps", "20", "--run-dir", str(run_dir)]
    Trainer(configs.parse(flags), Console(file=io.StringIO())).run()
    return str(run_dir)


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
    assert main([run, "--video", str(film)]) == 2
    assert capsys.readouterr().err.startswith("play.py: error: `video` should be a new .mp4 file")


def test_greedy_play_repeats_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("dqn", tmp_path / "run")
    outputs, greedy = [], []
    predict = agents.Trained.predict

    def noted(self: agents.Trained, obs: Any, *, deterministic: bool) -> Any:
        greedy.append(deterministic)
        return predict(self, obs, deterministic=deterministic)

    monkeypatch.setattr(agents.Trained, "predict", noted)
    for more in ([], [], ["--stochastic"]):
        assert main([run, *more]) == 0
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
        (["{run}/nowhere"], "the preset {run}/nowhere/config.yaml cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("dqn", tmp_path / "run")
    capsys.readouterr()
    assert main([arg.format(run=run) for arg in args]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"play.py: error: {message.format(run=run)}")
    assert error.count("\n") == 1
