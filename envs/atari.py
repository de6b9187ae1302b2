"""The Arcade Learning Environment: one game, games whose settings change, and the native vector.

All give 84 x 84 grey frames, the last four stacked, of every fourth one, and rewards clipped to
their sign; ``info["score"]`` is what the game itself paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py import ALEInterface, LoggerMode
from ale_py.env import AtariEnv
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from envs.schedules import Schedule, Stationary
from envs.shift import PerTask, Shift, brief, in_turn

ALEInterface.setLoggerMode(LoggerMode.Error)  # no banner


class ClipReward(gym.Wrapper[Any, Any, Any, Any]):
    """Clips rewards to their sign; ``info["score"]`` keeps them."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["score"] = float(reward)
        return observation, float(np.sign(float(reward))), terminated, truncated, info


def make_atari(id: str, *, noop_max: int = 30, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes a game with the usual preprocessing (Machado et al. 2018), stepped in Python.

    Args:
        id: ``ALE/...-v5``.
        noop_max: Most frames that a game waits at its start.
        **kwargs: Passed to ``gymnasium.make``, such as ``mode`` or ``full_action_space``.

    Raises:
        gymnasium.error.DependencyNotInstalled: Without OpenCV.
    """
    # The preprocessing skips frames itself: with the id's own skip it would be every 16th.
    kwargs |= {"frameskip": 1, "disable_env_checker": True}
    flavours = [kwargs.pop(name, None) for name in ("mode", "difficulty")]
    env = gym.make(id, **kwargs)
    if flavours != [None, None]:
        game: Any = env.unwrapped
        check_flavours(game, *([value] if value is not None else None for value in flavours))
        env.close()
        env = gym.make(id, mode=flavours[0], difficulty=flavours[1], **kwargs)
    preprocessed = AtariPreprocessing(env, noop_max=noop_max)
    return ClipReward(FrameStackObservation(preprocessed, 4, padding_type="zero"))


class AtariSettings(Shift):
    """Changes mode, difficulty or sticky actions of a game; takes effect at the reset.

    Args:
        modes: Mode for each task; ``None``: as the game comes.
        difficulties: Difficulty for each task; ``None``: as the game comes.
        sticky: Probability that the last action is repeated, for each task; ``None``: as it comes.

    Raises:
        ValueError: If the environment is no game, or the game lacks a mode or difficulty.
    """

    midway = False

    def __init__(
        self,
        *,
        modes: Sequence[int] | None = None,
        difficulties: Sequence[int] | None = None,
        sticky: PerTask | None = None,
    ) -> None:
        if modes is None and difficulties is None and sticky is None:
            raise ValueError("AtariSettings needs `modes`, `difficulties` or `sticky`")
        self.modes, self.difficulties = modes, difficulties
        self.mode_of = None if modes is None else in_turn("modes", modes)
        self.difficulty_of = None if difficulties is None else in_turn("difficulties", difficulties)
        self.sticky_of = None if sticky is None else in_turn("sticky", sticky, least=0, most=1)

    def setup(self, env: gym.Env[Any, Any]) -> None:
        if not isinstance(env.unwrapped, AtariEnv):
            raise ValueError(f"AtariSettings needs a game of ALE. Received {brief(env)}")
        self.game = env.unwrapped
        check_flavours(self.game, self.modes, self.difficulties)

    def enter(self, task: int, rng: np.random.Generator) -> None:
        # `reset(seed=...)` loads the game again with these, `reset()` keeps what the game has.
        if self.mode_of:
            self.game._game_mode = self.mode_of(task)
            self.game.ale.setMode(self.game._game_mode)
        if self.difficulty_of:
            self.game._game_difficulty = self.difficulty_of(task)
            self.game.ale.setDifficulty(self.game._game_difficulty)
        if self.sticky_of:
            self.game.ale.setFloat("repeat_action_probability", float(self.sticky_of(task)))
            # ALE reads it when it loads a game, which also starts its random numbers anew.
            self.game.ale.setInt("random_seed", int(self.game.np_random.integers(2**31)))
            self.game.load_game()


def check_flavours(
    game: AtariEnv, modes: Sequence[int] | None, difficulties: Sequence[int] | None
) -> None:
    """Raises a ValueError that lists what the game has if it lacks a mode or difficulty."""
    for kind, wanted, has in (
        ("mode", modes, game.ale.getAvailableModes()),
        ("difficulty", difficulties, game.ale.getAvailableDifficulties()),
    ):
        for value in () if wanted is None else wanted:
            if value not in has:
                listed = ", ".join(map(str, has))
                raise ValueError(f"{game._game} has no {kind} {value}: it has {listed}")


class NativeAtari(VectorEnv[Any, Any, Any]):
    """ALE's own vector of games, which follow one another on a lifetime clock.

    It steps many copies in threads and does without OpenCV.  It has no modes and difficulties.  At
    a switch every running episode is truncated and a vector of the next game takes over.  What it
    gives equals games that are stepped in Python (``make_atari``) but for random numbers: no-ops
    at the start and sticky actions come from generators of ALE.

    Args:
        games: ``ALE/...-v5`` ids; task k is game ``k % len(games)``.
        num_envs: Number of copies of all seeds together.
        schedule: When the game changes.
        start_step: Lifetime step to begin at.
        stride: Steps that the clock advances per step.
        kwargs: Settings of the vector instead of the id's, such as ``full_action_space``.
    """

    settings = {"full_action_space", "noop_max", "repeat_action_probability"}
    """What it can be told, of what games that are stepped one by one can."""
    least_copies = 1
    """From how many copies of a seed on it is worth it."""

    def __init__(
        self,
        games: Sequence[str],
        num_envs: int,
        schedule: Schedule,
        *,
        start_step: int = 0,
        stride: int = 1,
        **kwargs: Any,
    ) -> None:
        if len(games) > 1 and not kwargs.get("full_action_space"):
            raise ValueError(
                "games that follow one another need `full_action_space` True, as each has other "
                f"actions. Received {', '.join(games)}"
            )
        self.games, self.num_envs = tuple(games), num_envs
        self.schedule, self.clock, self.stride = schedule, start_step, stride
        self.kwargs = kwargs
        self.seeds: list[int] | None = None
        self.metadata = {**AtariVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.vector: AtariVectorEnv | None = None
        self._enter()

    def _enter(self) -> None:
        """Makes the vector of the game that the schedule shows."""
        self.phase = self.schedule.at(self.clock)
        settings = gym.spec(self.games[self.phase.task % len(self.games)]).kwargs
        if self.vector is not None:
            self.vector.close()
        self.vector = AtariVectorEnv(
            settings["game"],
            self.num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
            reward_clipping=False,
            use_fire_reset=False,  # as the games that are stepped in Python
            **({"repeat_action_probability": settings["repeat_action_probability"]} | self.kwargs),
        )
        for name in ("single_observation_space", "observation_space", "single_action_space"):
            setattr(self, name, getattr(self.vector, name))
        self.action_space = self.vector.action_space
        self.num_actions = int(self.single_action_space.n)  # type: ignore[attr-defined]  # Discrete
        self._seeded = False

    def show(self, task: int) -> None:
        """Stays at task ``task`` from the next reset on."""
        self.schedule = Stationary(task)
        self._enter()

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if options:
            raise ValueError(f"the native vector of ALE takes no options. Received {options}")
        if self.clock >= self.phase.end:
            self._enter()
        if seed is not None:
            several = isinstance(seed, Sequence | np.ndarray)
            seed = list(seed) if several else [int(seed) + i for i in range(self.num_envs)]
            self.seeds = seed
        elif not self._seeded:
            seed = self._seeds_of_now()
        return self._reset(seed)

    def _reset(self, seeds: Sequence[int] | None) -> tuple[Any, dict[str, Any]]:
        assert self.vector is not None
        self._seeded = True
        observation, infos = self.vector.reset(seed=None if seeds is None else np.asarray(seeds))
        return observation, {**infos, **self._task()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert self.vector is not None
        actions = np.asarray(actions)
        if actions.min() < 0 or actions.max() >= self.num_actions:  # ALE would wait for ever
            raise ValueError(
                f"actions should be from 0 to {self.num_actions - 1}. Received {actions.tolist()}"
            )
        stepped: Any = self.vector.step(actions)
        observation, score, terminated, truncated, infos = stepped
        self.clock += self.stride
        ended = terminated | truncated
        # Of a copy that was reset in this step, the other infos tell of the next episode.
        final_info = {**self._task(), "score": score.astype(np.float64)}
        infos |= final_info
        reward = np.sign(infos["score"])
        if self.clock >= self.phase.end:
            last = observation
            if ended.any():
                last = np.where(ended[:, None, None, None], infos["final_obs"], observation)
            final_info["cut"] = ~ended
            truncated = truncated | ~ended
            ended = np.ones_like(ended)
            self._enter()
            observation, infos = self._reset(self._seeds_of_now())
            infos |= {"final_obs": last, "final_info": final_info}
        elif ended.any():
            infos["final_info"] = final_info
        if ended.any():
            infos["_final_obs"] = infos["_final_info"] = ended
        return observation, reward, terminated, truncated, infos

    def _seeds_of_now(self) -> list[int] | None:
        """Seeds for a game that begins now: functions of the first ones and the clock."""
        if self.seeds is None:
            return None
        sequences = (np.random.SeedSequence((seed, self.clock)) for seed in self.seeds)
        return [int(sequence.generate_state(1)[0] >> 1) for sequence in sequences]

    def _task(self) -> dict[str, Any]:
        task, visit, _, _ = self.phase
        return {"task": np.full(self.num_envs, task), "visit": np.full(self.num_envs, visit)}

    def close_extras(self, **kwargs: Any) -> None:
        if self.vector is not None:
            self.vector.close()
