"""The settings of reinforcement learning: ``python train.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from agents import AGENTS, DQNConfig, SACConfig
from configs.schema import RunConfig, at_least
from envs import find_benchmark, frame_stack
from envs.registry import check_id

MOST_COPIES = 1 << 14
MOST_PROCESSES = 1 << 10
"""Of an environment, in this process and in their own."""


@dataclass(frozen=True)
class Config(RunConfig):
    """Settings of one run."""

    agent: Literal["dqn", "sac"] = "dqn"
    """What learns."""
    env: str = "obs-shift-cartpole-small"
    """A benchmark of --list-envs, or the id of any Gymnasium environment."""
    total_steps: int = 60_000
    """Environment steps of each seed, rounded up to a multiple of num-envs."""
    steps_per_task: int | None = None
    """Environment steps of one task visit; None: as the benchmark is published."""
    cyclic: bool = False
    """Begin with the first task again after the last one, which would stay otherwise."""
    task: int | None = None
    """Stay at this task of the benchmark; None: the sequence of tasks."""
    task_seed: int | None = None
    """Seed of the tasks, the same for all seeds; None: each seed has tasks of its own."""
    show_task: bool = False
    """Append the task to the observation, one-hot: an upper bound, as the agent is told."""
    on_switch: Literal["keep", "clear-replay", "reset-agent"] = "keep"
    """What the trainer does at a switch; all but keep are oracles, as agents are not told."""
    eval_every: int | None = None
    """Environment steps between two evaluations on all tasks; None: none."""
    eval_episodes: int = 5
    """Episodes of each seed and task in an evaluation."""
    num_envs: int = 1
    """Copies of the environment for each seed."""
    vector: Literal["auto", "sync", "async", "native"] = "auto"
    """How copies are stepped: sync: in this process; async: each in a process of its own; native:
    all at once (ALE, MinAtar); auto: native for ALE, and MinAtar from 16 copies on, else sync."""
    overlap: bool = False
    """Learn while the environments step, from what the replay held before."""
    save_replay: bool = True
    """Save the replay with each checkpoint; without it a run cannot go on."""
    env_restarts: int = 0
    """How often environments that fail are made again before the run stops."""
    dqn: DQNConfig = field(default_factory=DQNConfig)
    sac: SACConfig = field(default_factory=SACConfig)
    program: ClassVar[str] = "train.py"
    description: ClassVar[str] = """Train a continual reinforcement learning agent.

    Also: --config FILE (a YAML preset; flags after it win), --list-envs, --list-activations,
    --list-mitigations."""
    extends: ClassVar[str] = "total_steps"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("total_steps", "num_envs", "eval_episodes"):
            at_least(1, name, getattr(self, name))
        for name in ("steps_per_task", "eval_every"):
            if getattr(self, name) is not None:
                at_least(1, name, getattr(self, name))
        for name in ("task", "task_seed", "env_restarts"):
            if getattr(self, name) is not None:
                at_least(0, name, getattr(self, name))

    @property
    def title(self) -> str:
        return f"{self.env.replace('/', '-')}-{self.agent}-{self.activation}"

    @property
    def agent_config(self) -> DQNConfig | SACConfig:
        """The settings of the chosen agent."""
        settings: DQNConfig | SACConfig = getattr(self, self.agent)
        return settings

    @property
    def updates(self) -> float:
        agent = self.agent_config
        return (self.total_steps - agent.learning_starts) * agent.replay_ratio

    @property
    def compiles_well(self) -> bool:
        # Atari takes a minute, and has shown no gain on a CPU.
        return frame_stack(self.env) == 1

    def activations(self) -> set[str]:
        if self.agent == "dqn":
            return {self.activation}
        own = (self.sac.actor_activation, self.sac.critic_activation)
        return {name or self.activation for name in own}

    def copies(self) -> Iterator[tuple[str, int, int, str]]:
        most = MOST_PROCESSES if self.vector == "async" else MOST_COPIES
        for name in ("num_envs", "eval_episodes") if self.eval_every else ("num_envs",):
            copies = self.num_seeds * getattr(self, name)
            yield f"`num_seeds` times `{name}`", copies, most, f"with vector {self.vector}"

    def check_names(self) -> None:
        check_id(self.env)

    def unused(self) -> dict[str, str]:
        reasons = super().unused()
        for agent in AGENTS:
            if agent != self.agent:
                reasons[agent] = f"agent {self.agent} does not use it"
        if "simba" in self.mitigation and not self.simba.networks:
            reasons[f"{self.agent}.hidden"] = "simba has widths of its own"
        if self.agent == "dqn":
            for name in ("simba.actor_width", "simba.actor_blocks"):
                reasons[name] = "agent dqn has no actor"
        benchmark = find_benchmark(self.env)
        if benchmark is None:
            for name in ("steps_per_task", "cyclic", "task", "task_seed", "show_task", "on_switch"):
                reasons[name] = f"environment {self.env} does not change"
        else:
            if not benchmark.drawn:
                reasons["task_seed"] = f"the tasks of {self.env} are fixed, not drawn at random"
            if not benchmark.ends:
                reasons["cyclic"] = f"the tasks of {self.env} have an order of their own"
        if self.task is not None:
            for name in ("steps_per_task", "cyclic", "on_switch"):
                reasons[name] = f"the environment stays at task {self.task}"
        if self.eval_every is None:
            reasons["eval_episodes"] = "it needs --eval-every"
        if self.agent == "sac":
            if self.sac.actor_activation and self.sac.critic_activation:
                reasons["activation"] = "actor and critic have activations of their own"
            if not self.sac.learn_temperature:
                reasons["sac.target_entropy"] = "the temperature is not learned"
        return reasons
