"""Let a trained agent play, and record it: ``python play.py RUN --video run.mp4``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import agents
import configs
import envs
from configs import one_line
from training import WorldError
from training.evaluation import SEED_OFFSET
from training.worlds import failed

ENDLESS = 1 << 62
"""Frames of one video: all episodes."""


def main(args: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0, 1 after an environment failed, 2 for bad input, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="play.py", description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--episodes", type=int, default=3, help="how many to play (default: 3)")
    parser.add_argument("--seed", type=int, help="which seed's agent plays (default: the first)")
    parser.add_argument("--task", type=int, help="task of a benchmark (default: the run's, or 0)")
    parser.add_argument("--video", type=Path, help="file to record to, .mp4")
    parser.add_argument("--stochastic", action="store_true", help="explore as in training")
    options = parser.parse_args(args)
    try:
        play(options)
    except (ValueError, OSError) as error:
        print(f"play.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    except WorldError as error:
        print(f"play.py: stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def play(options: argparse.Namespace) -> None:
    """Plays, prints returns, and writes the video.

    Raises:
        ValueError: If there is no such run, task or seed, or no picture can be made of the game.
        WorldError: If the environment fails.
    """
    if options.episodes < 1:
        raise ValueError(f"`episodes` should be at least 1. Received {options.episodes}")
    video: Path | None = options.video
    if video is not None and (video.suffix != ".mp4" or video.exists()):
        raise ValueError(f"`video` should be a new .mp4 file. Received {video}")
    if video is not None and not video.parent.is_dir():
        raise ValueError(f"`video` should be in a folder that exists. Received {video}")
    config = configs.parse(["--config", str(options.run / "config.yaml")])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        trained = agents.load(options.run, seed=options.seed)
    for warning in told:
        print(f"play.py: warning: {warning.message}", file=sys.stderr)
    env = make(config, options.task, trained.seed, video is not None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            check_spaces(env, trained, config.env)
            if video is not None:
                check_pictures(env, config.env)
                env = record(env, folder)
            episodes(env, trained, options, config.env)
        finally:
            env.close()
        if video is not None:
            (film,) = Path(folder).glob("film/*.mp4")
            try:
                with film.open("rb") as source, video.open("xb") as target:
                    target.write(source.read())
            except OSError as error:
                raise ValueError(f"the video {video} cannot be written: {error}") from error
            print(f"recorded to {video}")


def make(config: configs.Config, task: int | None, seed: int, pictures: bool) -> Any:
    """Makes the environment of a run, at one of its tasks."""
    changes = envs.find_benchmark(config.env) is not None
    if task is not None and not changes:
        raise ValueError(f"`task` is for environments that change; {config.env} does not")
    if pictures and not os.environ.get("DISPLAY"):  # pictures need no screen
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")
    if task is None:
        task = config.task or 0
    settings: dict[str, Any] = {"task": task, "show_task": config.show_task} if changes else {}
    if changes:
        settings["task_seed"] = seed if config.task_seed is None else config.task_seed
    if pictures:
        settings["render_mode"] = "rgb_array"
    return envs.make(config.env, **settings)


def check_spaces(env: Any, trained: agents.Trained, name: str) -> None:
    """Raises a ValueError if the agent was trained in other spaces."""
    pairs = {
        "observations": (env.observation_space, trained.observation_space),
        "actions": (env.action_space, trained.action_space),
    }
    for what, (here, there) in pairs.items():
        if here != there:
            raise ValueError(f"{name} has the {what} {here}; the agent was trained with {there}")


def check_pictures(env: Any, name: str) -> None:
    """Raises a ValueError if an environment cannot be drawn."""
    try:
        env.reset(seed=0)  # episodes have seeds of their own
        picture = env.render()
    except Exception as error:  # of the environment's own, of a graphics library, of a driver
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"`video` is not for {name}, which cannot be drawn: {problem}") from error
    if not isinstance(picture, np.ndarray):
        raise ValueError(f"`video` is not for {name}, which cannot be drawn: it gave no picture")


def record(env: Any, folder: str) -> Any:
    """Wraps an environment so that all that it shows becomes one film in a folder."""
    try:
        return gym.wrappers.RecordVideo(
            env,
            f"{folder}/film",
            episode_trigger=lambda episode: episode == 0,
            video_length=ENDLESS,
        )
    except gym.error.DependencyNotInstalled:
        raise ValueError(
            "`video` needs the extra 'video': pip install -c constraints.txt -e '.[video]'"
        ) from None


def episodes(env: Any, trained: agents.Trained, options: argparse.Namespace, name: str) -> None:
    """Plays episodes and prints their returns; of clipped rewards, what the game itself paid."""
    returns = []
    for episode in range(options.episodes):
        total, length, ended = 0.0, 0, False
        try:
            obs, _ = env.reset(seed=trained.seed + SEED_OFFSET + episode)
            while not ended:
                action, _ = trained.predict(obs, deterministic=not options.stochastic)
                obs, reward, terminated, truncated, info = env.step(action)
                total += float(info.get("score", reward))
                length += 1
                ended = terminated or truncated
        except Exception as error:
            raise failed(name, error) from error
        returns.append(total)
        print(f"episode {episode}: return {total:.1f}, {length} steps", flush=True)
    print(f"mean return of {options.episodes}: {np.mean(returns):.1f}")


if __name__ == "__main__":
    sys.exit(main())
