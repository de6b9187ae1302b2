"""The wrapper that applies shifts on a lifetime clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.schedules import Phase, Schedule, Stationary, whole
from envs.shift import NumericShift, Shift, brief, channels_last

Switch = Literal["cut", "episode", "step"]


class Continual(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose task changes on a lifetime clock.

    The clock counts steps over all episodes.  ``info`` holds ``task`` and ``visit``, in a drift
    also ``position``; of an episode that a change cut short, the last one holds ``cut`` = True.

    Args:
        env: The environment to change.
        schedule: When the task changes.
        shifts: What changes; the first one is nearest to ``env``.
        seed: Seed of the tasks.
        start_step: Lifetime step to begin at.
        stride: Steps that the clock advances per step: the number of parallel copies that share one
            lifetime.
        switch: What happens when the clock reaches the end of a phase. ``"cut"``: the running
            episode is truncated (the last transition still belongs to the old task) and the new
            task begins with the reset. ``"episode"``: the new task waits for the end of the
            episode. ``"step"``: the world changes in the middle of the episode. A drift moves at
            every step, but with ``"episode"`` only between episodes.
        show_tasks: Appends the task to the observation, one-hot among this many; 0: hidden. A
            vector gets as many components, an image as many channels; between two tasks both have
            their share.

    Raises:
        ValueError: If a shift does not fit the environment, or the task cannot be appended.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        schedule: Schedule,
        shifts: Sequence[Shift],
        *,
        seed: int = 0,
        start_step: int = 0,
        stride: int = 1,
        switch: Switch = "cut",
        show_tasks: int = 0,
    ) -> None:
        super().__init__(env)
        if switch not in get_args(Switch):
            raise ValueError(f"`switch` should be one of {get_args(Switch)}. Received {switch!r}")
        for name, value, least in (
            ("seed", seed, 0),
            ("start_step", start_step, 0),
            ("stride", stride, 1),
            ("show_tasks", show_tasks, 0),
        ):
            whole(name, value, least)
        self.schedule = schedule
        self.shifts = tuple(shifts)
        self.seed = seed
        self.clock = start_step
        self.stride = stride
        self.switch = switch
        self.show_tasks = show_tasks
        self.made_by = env.spec
        space = env.observation_space
        for shift in self.shifts:
            if not shift.midway and switch != "episode" and (switch == "step" or _drifts(schedule)):
                raise ValueError(
                    f"{type(shift).__name__} cannot change in the middle of an episode: "
                    f'give switch="episode". Received {switch!r}'
                )
            shift.setup(env)
            space = shift.observation_space(space)
        self.observation_space = _with_task(space, show_tasks) if show_tasks else space
        # Most shifts change one thing: the others cost nothing per step.
        self._observation_shifts = [s for s in self.shifts if _overrides(s, "observation")]
        self._action_shifts = [s for s in reversed(self.shifts) if _overrides(s, "action")]
        self._reward_shifts = [s for s in self.shifts if _overrides(s, "reward")]
        self._begin_shifts = [s for s in enumerate(self.shifts) if _overrides(s[1], "begin")]
        raw = env.observation_space
        self._expected = None
        if isinstance(raw, gym.spaces.Box):
            self._expected = raw.shape, raw.dtype, raw.dtype.kind == "f"
        self._noise_seed: Any = None
        self._ends: tuple[int, int] | None = None
        self._nearest: int | None = None
        self._between: list[tuple[NumericShift, Any, Any]] = []
        self._enter()

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]  # as gym.Wrapper itself does
        """What ``gymnasium.make`` needs to make this environment again."""
        return self.made_by

    def show(self, task: int) -> None:
        """Stays at task ``task`` from its beginning; reset before the next step."""
        self.schedule, self.clock = Stationary(task), 0
        self._enter()

    def _enter(self) -> None:
        """Shows what the schedule says for the present step."""
        self.phase: Phase = self.schedule.at(self.clock)
        if self.phase.position is None:
            for index, shift in enumerate(self.shifts):
                shift.enter(self.phase.task, self._rng(index))
        else:
            self._drift(self.phase.position)
        if self.show_tasks:
            self._shown = self._task_code(self.phase)

    def _drift(self, position: float) -> None:
        before, nearest = int(position), round(position)
        after = before + (position > before)  # at a task the next one may not exist
        if (before, after) != self._ends:
            self._ends = before, after
            self._between = list(self._numbers_between(before, after))
        for numeric, low, slope in self._between:
            numeric.set(low + (position - before) * slope)
        if nearest != self._nearest:
            self._nearest = nearest
            for index, shift in enumerate(self.shifts):
                if not isinstance(shift, NumericShift):
                    shift.enter(nearest, self._rng(index))

    def _numbers_between(self, before: int, after: int) -> Iterator[tuple[NumericShift, Any, Any]]:
        """Yields the numbers of each numeric shift in a task, and their difference to the next."""
        for index, shift in enumerate(self.shifts):
            if isinstance(shift, NumericShift):
                low, high = (
                    np.asarray(shift.numbers(task, self._rng(index)), float)
                    for task in (before, after)
                )
                slope = high - low
                # Plain numbers where there is one: they are ten times as fast as arrays.
                yield (shift, low, slope) if low.ndim else (shift, low.item(), float(slope))

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index))

    def _task_code(self, phase: Phase) -> Any:
        """One-hot, between two tasks the shares of both; as vector or as planes."""
        position = float(phase.task) if phase.position is None else phase.position
        if phase.position is None and phase.task >= self.show_tasks:
            raise ValueError(
                f"`show_tasks` should be above task {phase.task}. Received {self.show_tasks}"
            )
        # A drift without end goes round: the first task is next to the last one.
        away = np.abs(np.arange(self.show_tasks) - position % self.show_tasks)
        weights = np.clip(1 - np.minimum(away, self.show_tasks - away), 0, 1)
        space = self.observation_space
        assert isinstance(space, gym.spaces.Box)
        if len(space.shape) == 1:
            return weights.astype(space.dtype)
        planes = np.ones((self.show_tasks, *space.shape[1:])) * weights[:, None, None]
        return (planes * _top(space)).astype(space.dtype)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if self.clock >= self.phase.end:
            self._enter()
        if seed is not None:
            self._noise_seed = seed
        elif self._noise_seed is None:
            self._noise_seed = np.random.SeedSequence().entropy
        observation, info = self.env.reset(seed=seed, options=options)
        self._check(observation)
        for index, shift in self._begin_shifts:
            shift.begin(np.random.default_rng((self._noise_seed, index, self.clock)))
        observation = self._observe(observation)
        self._tell(info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        for shift in self._action_shifts:
            action = shift.action(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check(observation)
        if not isfinite(reward):
            raise ValueError(f"{self._name()} has returned the reward {reward}")
        self.clock += self.stride
        moves = self.clock >= self.phase.end
        if moves and self.switch == "cut" and self.phase.position is None:
            if not (terminated or truncated):
                truncated = info["cut"] = True
            moves = False
        observation = self._observe(observation)
        scalar = float(reward)
        for shift in self._reward_shifts:
            scalar = shift.reward(scalar, info, terminated or truncated)
        self._tell(info)
        if moves and self.switch != "episode":
            self._enter()
        return observation, scalar, terminated, truncated, info

    def _check(self, observation: Any) -> None:
        """Refuses what a vector of environments would cast, and what no network can learn from."""
        if self._expected is None:
            return
        shape, dtype, floating = self._expected
        received = getattr(observation, "shape", None), getattr(observation, "dtype", None)
        if received != (shape, dtype):
            raise ValueError(
                f"{self._name()} has returned an observation of shape and dtype {received}; its "
                f"space says {(shape, dtype)}"
            )
        # A product with itself is the cheapest look at all numbers; it may overflow.
        suspect = floating and not isfinite(np.vdot(observation, observation))
        if suspect and not np.isfinite(observation).all():
            raise ValueError(f"{self._name()} has returned an observation with NaN or infinity")

    def _name(self) -> str:
        spec = self.env.spec
        return f"environment {spec.id if spec else brief(self.env)}"

    def _observe(self, observation: Any) -> Any:
        for shift in self._observation_shifts:
            observation = shift.observation(observation)
        return np.concatenate((observation, self._shown)) if self.show_tasks else observation

    def _tell(self, info: dict[str, Any]) -> None:
        info["task"], info["visit"], _, position = self.phase
        if position is not None:
            info["position"] = position


def _overrides(shift: Shift, method: str) -> bool:
    return getattr(type(shift), method) is not getattr(Shift, method)


def _drifts(schedule: Schedule) -> bool:
    return schedule.at(0).position is not None


def _top(images: gym.spaces.Box) -> float:
    """What a white pixel is."""
    return 255 if images.dtype == np.uint8 else 1


def _with_task(space: gym.Space[Any], num_tasks: int) -> gym.spaces.Box:
    """The space of observations with the task appended."""
    if (
        not isinstance(space, gym.spaces.Box)
        or len(space.shape) not in (1, 3)
        or channels_last(space)
    ):
        raise ValueError(
            f"the task can be appended to vectors and images (C, H, W). Received {brief(space)}"
        )
    shape = (num_tasks, *space.shape[1:])
    top = 1 if len(space.shape) == 1 else _top(space)
    low = np.concatenate((space.low, np.zeros(shape)))
    high = np.concatenate((space.high, np.full(shape, top)))
    kind = space.dtype.type
    return gym.spaces.Box(low.astype(kind), high.astype(kind), dtype=kind)
