"""The benchmarks: what changes, when, and where the parameters come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sin
from typing import Any

from envs.action import ActionPermutation
from envs.continual import Switch
from envs.drifts import LinearDrift, RandomWalk, SineDrift
from envs.dynamics import Drawn, Parameter, Wind, log_uniform
from envs.observation import ObservationOffset, ObservationPermutation
from envs.reward import TargetVelocity
from envs.schedules import Cyclic, EverySteps, InOrder, Schedule
from envs.sequence import SelectEnv
from envs.shift import Shift


@dataclass(frozen=True)
class Benchmark:
    """A named non-stationary environment.

    Attributes:
        description: What changes, in one line.
        source: Where the parameters come from; "ours" where they are this project's choice.
        bases: Ids of environments; several are a sequence of whole environments.
        shifts: Makes the shifts, anew for each environment.
        num_tasks: Number of tasks.
        steps_per_task: Environment steps of one visit, per seed; of a drift, of one period.
        small_steps: The same for the small version, which runs in minutes.
        order: Makes the schedule from the steps of a visit and the number of tasks.
        switch: What a change does to a running episode, as ``Continual`` takes it.
        kwargs: Settings of the bases.
        drawn: Whether tasks are drawn from the seed; else all seeds have the same.
    """

    description: str
    source: str
    bases: tuple[str, ...]
    shifts: Callable[[], Sequence[Shift]]
    num_tasks: int
    steps_per_task: int
    small_steps: int
    order: Callable[[int, int], Schedule] = EverySteps
    switch: Switch = "cut"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    drawn: bool = False

    @property
    def ends(self) -> bool:
        """Whether the tasks come once, one after the other, and the last one stays."""
        return self.order is EverySteps

    def schedule(self, steps_per_task: int | None = None, cyclic: bool = False) -> Schedule:
        """Returns the schedule.

        Args:
            steps_per_task: Length of a visit; default: the published one.
            cyclic: Whether the first task follows the last one; for tasks that come once.
        """
        period = self.steps_per_task if steps_per_task is None else steps_per_task
        return (Cyclic if cyclic else self.order)(period, self.num_tasks)


def _in_order(tasks: Sequence[int]) -> Callable[[int, int], Schedule]:
    return lambda period, num_tasks: InOrder(period, tasks)


def _atari_settings(num_modes: int) -> Callable[[], Sequence[Shift]]:
    def shifts() -> Sequence[Shift]:
        from envs.atari import AtariSettings

        return [AtariSettings(modes=range(num_modes))]

    return shifts


def _lunar_context() -> Sequence[Shift]:
    from envs.lunar import LunarContext

    return [LunarContext()]


def _obs_shift(base: str) -> Benchmark:
    return Benchmark(
        f"{_plain(base)} with a N(0, 2) offset on the observation, new for each task",
        "C-CHAIN (bluecontra/C-CHAIN), without its reward scale and 400-step limit",
        (base,),
        lambda: [ObservationOffset(2.0)],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=15_000,
        drawn=True,
    )


def _obs_permute(base: str) -> Benchmark:
    return Benchmark(
        f"{_plain(base)} with the observation permuted, anew for each task",
        "ours, after permuted MNIST",
        (base,),
        lambda: [ObservationPermutation()],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=10_000,
        drawn=True,
    )


def _action_permute(base: str) -> Benchmark:
    return Benchmark(
        f"{_plain(base)} with the actions permuted, anew for each task",
        "ours",
        (base,),
        lambda: [ActionPermutation()],
        num_tasks=10,
        steps_per_task=160_000,
        small_steps=20_000,
        drawn=True,
    )


def _plain(id: str) -> str:
    return id.rsplit("-v", 1)[0]


FAMILIES: dict[str, Callable[[str], Benchmark]] = {
    "obs-shift": _obs_shift,
    "obs-permute": _obs_permute,
    "action-permute": _action_permute,
}
"""Benchmarks over any fitting Gymnasium id: ``obs-permute-Hopper-v5``, ``...-Hopper-v5-small``."""

_CLASSIC = {"cartpole": "CartPole-v1", "acrobot": "Acrobot-v1", "lunarlander": "LunarLander-v3"}
_GRAVITY = (1.0, 0.5, 1.5, 0.75, 1.25)
_MASS = (1.0, 1.5, 0.5, 2.0, 0.75)
_GEAR = (1.0, 0.8, 0.6, 0.4, 0.2)
_GEAR_PATH = "model.actuator_gear[:, 0]"
_CORA6 = ("SpaceInvaders", "Krull", "BeamRider", "Hero", "StarGunner", "MsPacman")
_SWITCH5 = ("Alien", "Atlantis", "Boxing", "Breakout", "Centipede")
_CW = tuple(
    f"Meta-World/{name}-v3"
    for name in (
        "hammer push-wall faucet-close push-back stick-pull handle-press-side push shelf-place "
        "window-close peg-unplug-side"
    ).split()
)


def _gravity() -> Sequence[Shift]:
    return [Parameter("model.opt.gravity[2]", _GRAVITY, relative=True)]


def _mass() -> Sequence[Shift]:
    # A denser robot: mass and inertia go together.
    return [Parameter(("model.body_mass", "model.body_inertia"), _MASS, relative=True)]


def _gear() -> Sequence[Shift]:
    return [Parameter(_GEAR_PATH, _GEAR, relative=True)]


def _games(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"ALE/{name}-v5" for name in names)


_PUBLISHED: dict[str, Benchmark] = {
    **{f"obs-shift-{name}": _obs_shift(base) for name, base in _CLASSIC.items()},
    **{f"obs-permute-{name}": _obs_permute(base) for name, base in _CLASSIC.items()},
    **{f"action-permute-{name}": _action_permute(base) for name, base in _CLASSIC.items()},
    "cartpole-gravity": Benchmark(
        "CartPole with gravity times 1, 2, 0.5, 3, 0.25",
        "ours",
        ("CartPole-v1",),
        lambda: [Parameter("gravity", (1.0, 2.0, 0.5, 3.0, 0.25), relative=True)],
        num_tasks=5,
        steps_per_task=160_000,
        small_steps=10_000,
        order=Cyclic,
    ),
    "cartpole-context": Benchmark(
        "CartPole with gravity, pole length and force times 10^U(-0.5, 0.5), 1.5 apart (L1)",
        "wechu/parseval_reg (number of tasks ours; pole mass times length follows here)",
        ("CartPole-v1",),
        lambda: [
            Parameter(
                ("gravity", "length", "force_mag"),
                Drawn(lambda rng: 10 ** rng.uniform(-0.5, 0.5, 3), apart=1.5),
                relative=True,
            )
        ],
        num_tasks=20,
        steps_per_task=500_000,
        small_steps=5_000,
        drawn=True,
    ),
    "lunar-context": Benchmark(
        "LunarLander with gravity, engine powers and first push drawn for each task",
        "wechu/parseval_reg",
        ("LunarLander-v3",),
        _lunar_context,
        num_tasks=20,
        steps_per_task=500_000,
        small_steps=5_000,
        drawn=True,
    ),
    "classic-cycle": Benchmark(
        "CartPole, Acrobot, MountainCar in turn, spaces padded to the widest",
        "ours",
        ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"),
        lambda: [SelectEnv()],
        num_tasks=3,
        steps_per_task=160_000,
        small_steps=10_000,
        order=Cyclic,
    ),
    "slippery-ant": Benchmark(
        "Ant with the sliding friction of every geom log-uniform in [0.02, 2]",
        "shibhansh/loss-of-plasticity, with Ant-v5",
        ("Ant-v5",),
        # Contacts take the larger friction of the two geoms, so the floor alone changes nothing.
        lambda: [Parameter("model.geom_friction[:, 0]", log_uniform(0.02, 2.0))],
        num_tasks=10,
        steps_per_task=2_000_000,
        small_steps=20_000,
        switch="episode",
        drawn=True,
    ),
    "cheetah-velocity": Benchmark(
        "HalfCheetah to run at 1.5 + 1.5 sin(0.5 i) m/s against a wind of 5 + 5 sin(0.2 i) m/s, "
        "episode i",
        "LILAC (Xie, Harrison and Finn 2020), not checked there; wind speed, episode length ours",
        ("HalfCheetah-v5",),
        lambda: [
            TargetVelocity(lambda i: 1.5 + 1.5 * sin(0.5 * i)),
            Wind(lambda i: -5 - 5 * sin(0.2 * i)),
        ],
        num_tasks=63,  # the episodes after which both sines begin again
        steps_per_task=63_000,
        small_steps=20_000,
        order=lambda visit, _: LinearDrift(1_000, None, every=1_000, visit=visit),
        switch="episode",
    ),
    "cheetah-gravity": Benchmark(
        "HalfCheetah with gravity times 1, 0.5, 1.5, 0.75, 1.25",
        "ours, a common setting",
        ("HalfCheetah-v5",),
        _gravity,
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
        order=Cyclic,
    ),
    "hopper-mass": Benchmark(
        "Hopper with its mass and inertia times 1, 1.5, 0.5, 2, 0.75",
        "ours, a common setting",
        ("Hopper-v5",),
        _mass,
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
        order=Cyclic,
    ),
    "actuator-loss": Benchmark(
        "HalfCheetah with the gear of its actuators times 1, 0.8, 0.6, 0.4, 0.2",
        "ours, a common setting",
        ("HalfCheetah-v5",),
        _gear,
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
    ),
    "cheetah-gravity-drift": Benchmark(
        "HalfCheetah with gravity that goes through those of cheetah-gravity and back, as a sine",
        "ours",
        ("HalfCheetah-v5",),
        _gravity,
        num_tasks=5,
        steps_per_task=1_000_000,
        small_steps=40_000,
        order=SineDrift,
    ),
    "hopper-mass-drift": Benchmark(
        "Hopper with a mass that walks at random through the tasks of hopper-mass",
        "ours",
        ("Hopper-v5",),
        _mass,
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
        order=RandomWalk,
    ),
    "actuator-loss-drift": Benchmark(
        "HalfCheetah whose actuators fade from full to a fifth of their gear",
        "ours",
        ("HalfCheetah-v5",),
        _gear,
        num_tasks=5,
        steps_per_task=500_000,
        small_steps=20_000,
        order=LinearDrift,
    ),
    "mujoco-cycle": Benchmark(
        "HalfCheetah, Hopper, Walker2d, Ant in turn, spaces padded to the widest",
        "arXiv 2509.22562 (3 cycles), not checked there; padding ours",
        ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5"),
        lambda: [SelectEnv()],
        num_tasks=4,
        steps_per_task=1_000_000,
        small_steps=20_000,
        order=Cyclic,
    ),
    "minatar-3": Benchmark(
        "MinAtar: space_invaders, asterix, seaquest, padded to 10 channels",
        "C-CHAIN (bluecontra/C-CHAIN)",
        ("MinAtar/SpaceInvaders-v0", "MinAtar/Asterix-v0", "MinAtar/Seaquest-v0"),
        lambda: [SelectEnv()],
        num_tasks=3,
        steps_per_task=2_000_000,
        small_steps=50_000,
    ),
    "minatar-7": Benchmark(
        "MinAtar: breakout, space_invaders, freeway in seven visits, padded to 7 channels",
        "datake/FAME (its first sequence without repeats), without difficulty ramping",
        ("MinAtar/Breakout-v0", "MinAtar/SpaceInvaders-v0", "MinAtar/Freeway-v0"),
        lambda: [SelectEnv()],
        num_tasks=3,
        steps_per_task=500_000,
        small_steps=20_000,
        order=_in_order((0, 1, 2, 1, 0, 2, 1)),
        kwargs={"ramping": False},
    ),
    "ale-spaceinvaders-modes": Benchmark(
        "Space Invaders in modes 0 to 9",
        "mikelma/componet (which skips 16 frames by mistake; 4 here)",
        _games(["SpaceInvaders"]),
        _atari_settings(10),
        num_tasks=10,
        steps_per_task=1_000_000,
        small_steps=5_000,
    ),
    "ale-freeway-modes": Benchmark(
        "Freeway in modes 0 to 7",
        "mikelma/componet (which skips 16 frames by mistake; 4 here)",
        _games(["Freeway"]),
        _atari_settings(8),
        num_tasks=8,
        steps_per_task=1_000_000,
        small_steps=5_000,
    ),
    "ale-switch5": Benchmark(
        "Alien, Atlantis, Boxing, Breakout, Centipede in turn, all 18 actions",
        "Abbas et al. 2023 (20M frames a visit), not checked there",
        _games(_SWITCH5),
        lambda: [SelectEnv()],
        num_tasks=5,
        steps_per_task=5_000_000,
        small_steps=5_000,
        order=Cyclic,
        kwargs={"full_action_space": True},
    ),
    "ale-cora6": Benchmark(
        "SpaceInvaders, Krull, BeamRider, Hero, StarGunner, MsPacman in turn, all 18 actions",
        "AGI-Labs/continual_rl (5 cycles; its 50M are steps after the frame skip)",
        _games(_CORA6),
        lambda: [SelectEnv()],
        num_tasks=6,
        steps_per_task=50_000_000,
        small_steps=5_000,
        order=Cyclic,
        kwargs={"full_action_space": True, "repeat_action_probability": 0.0},
    ),
    "cw10": Benchmark(
        "Meta-World: the ten tasks of Continual World, 200 steps an episode",
        "awarelab/continual_world, with version 3 of the tasks",
        _CW,
        lambda: [SelectEnv()],
        num_tasks=10,
        steps_per_task=1_000_000,
        small_steps=5_000,
    ),
    "cw20": Benchmark(
        "Meta-World: the ten tasks of Continual World, twice",
        "awarelab/continual_world, with version 3 of the tasks",
        _CW,
        lambda: [SelectEnv()],
        num_tasks=10,
        steps_per_task=1_000_000,
        small_steps=5_000,
        order=_in_order((*range(10), *range(10))),
    ),
}


def _small(benchmark: Benchmark) -> Benchmark:
    return replace(benchmark, steps_per_task=benchmark.small_steps)


BENCHMARKS: dict[str, Benchmark] = {
    name: benchmark
    for id, published in _PUBLISHED.items()
    for name, benchmark in ((id, published), (f"{id}-small", _small(published)))
}
"""All benchmarks by id, each beside its ``-small`` version."""


def find_benchmark(id: str) -> Benchmark | None:
    """Returns the benchmark of an id, also one of a family over any Gymnasium id."""
    if id in BENCHMARKS:
        return BENCHMARKS[id]
    for family, benchmark in FAMILIES.items():
        match = re.fullmatch(rf"{family}-(?P<base>.+-v\d+)(?P<small>-small)?", id)
        if match and find_benchmark(match["base"]) is None:
            made = benchmark(match["base"])
            return _small(made) if match["small"] else made
    return None
