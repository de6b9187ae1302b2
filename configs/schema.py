"""The settings of a run: nested frozen dataclasses, filled from flags and YAML presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import tyro

from agents import AGENTS, DQNConfig, SACConfig
from envs import find_benchmark
from networks import ACTIVATIONS, AdaLinConfig, make_activation
from plasticity import MITIGATIONS, ProbeConfig
from plasticity.mitigations import MitigationConfig
from plasticity.mitigations.architecture import LayerNormConfig, SimBaRemedyConfig
from plasticity.mitigations.churn import CChainConfig
from plasticity.mitigations.continual_backprop import ContinualBackpropConfig
from plasticity.mitigations.injection import PlasticityInjectionConfig
from plasticity.mitigations.kron import KronConfig
from plasticity.mitigations.projections import NaPConfig, WeightClippingConfig
from plasticity.mitigations.recycling import ReDoConfig, ReGraMaConfig
from plasticity.mitigations.regularizers import L2Config, L2InitConfig, WassersteinConfig
from plasticity.mitigations.replay import SampleWeightDecayConfig
from plasticity.mitigations.resets import (
    FIREConfig,
    HareTortoiseConfig,
    ResetConfig,
    ShrinkPerturbConfig,
)
from plasticity.mitigations.self_normalized import SelfNormalizedResetConfig
from plasticity.mitigations.singular_values import ParsevalConfig, SpectralConfig
from plasticity.mitigations.trac import TRACConfig
from plasticity.mitigations.upgd import UPGDConfig


@dataclass(frozen=True)
class Config:
    """Settings of one run."""

    agent: Literal["dqn", "sac"] = "dqn"
    """What learns."""
    env: str = "obs-shift-cartpole-small"
    """A benchmark of --list-envs, or the id of any Gymnasium environment."""
    activation: str = "adalin-relu"
    """Activation of the hidden layers, one of --list-activations."""
    halve_widths: bool = False
    """Halve hidden layers whose activation has two outputs for each unit (crelu, fourier)."""
    total_steps: int = 60_000
    """Environment steps of each seed, rounded up to a multiple of num-envs."""
    steps_per_task: int | None = None
    """Environment steps of one task visit; None: as the benchmark is published."""
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
    seed: int = 0
    """The first seed; the others follow it."""
    num_seeds: int = 1
    """Seeds trained side by side."""
    num_envs: int = 1
    """Copies of the environment for each seed."""
    vector: Literal["auto", "sync", "async", "native"] = "auto"
    """Step copies in this process, in their own, or games all at once; auto: see envs.make_vec."""
    run_dir: str | None = None
    """Where the files of the run go; None: a new folder in runs/."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks are; auto: a GPU if there is one."""
    threads: int = 1
    """Threads of PyTorch; for small networks one is fastest."""
    compile: bool = False
    """Compile the update and the choice of actions, which takes up to a minute first; default: for
    at least 50,000 updates without remedies, but not for Atari, if there is a C++ compiler."""
    checkpoint_every: int | None = 100_000
    """Environment steps between two checkpoints, at which all episodes end; None: only when the run
    ends or is interrupted."""
    save_replay: bool = True
    """Save the replay with each checkpoint; without it a run cannot go on."""
    env_restarts: int = 0
    """How often environments that fail are made again before the run stops."""
    log_every: int = 1_000
    """Environment steps between two rows of training metrics."""
    mitigation: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A remedy of --list-mitigations; may be given several times."""
    dqn: DQNConfig = field(default_factory=DQNConfig)
    sac: SACConfig = field(default_factory=SACConfig)
    adalin: AdaLinConfig = field(default_factory=AdaLinConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    layer_norm: LayerNormConfig = field(default_factory=LayerNormConfig)
    simba: SimBaRemedyConfig = field(default_factory=SimBaRemedyConfig)
    nap: NaPConfig = field(default_factory=NaPConfig)
    l2: L2Config = field(default_factory=L2Config)
    l2_init: L2InitConfig = field(default_factory=L2InitConfig)
    wasserstein: WassersteinConfig = field(default_factory=WassersteinConfig)
    parseval: ParsevalConfig = field(default_factory=ParsevalConfig)
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    c_chain: CChainConfig = field(default_factory=CChainConfig)
    shrink_perturb: ShrinkPerturbConfig = field(default_factory=ShrinkPerturbConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    redo: ReDoConfig = field(default_factory=ReDoConfig)
    regrama: ReGraMaConfig = field(default_factory=ReGraMaConfig)
    continual_backprop: ContinualBackpropConfig = field(default_factory=ContinualBackpropConfig)
    snr: SelfNormalizedResetConfig = field(default_factory=SelfNormalizedResetConfig)
    plasticity_injection: PlasticityInjectionConfig = field(
        default_factory=PlasticityInjectionConfig
    )
    weight_clipping: WeightClippingConfig = field(default_factory=WeightClippingConfig)
    hare_tortoise: HareTortoiseConfig = field(default_factory=HareTortoiseConfig)
    fire: FIREConfig = field(default_factory=FIREConfig)
    upgd: UPGDConfig = field(default_factory=UPGDConfig)
    trac: TRACConfig = field(default_factory=TRACConfig)
    kron: KronConfig = field(default_factory=KronConfig)
    sample_weight_decay: SampleWeightDecayConfig = field(default_factory=SampleWeightDecayConfig)

    def __post_init__(self) -> None:
        for name in (
            "total_steps",
            "num_seeds",
            "num_envs",
            "threads",
            "log_every",
            "eval_episodes",
        ):
            _at_least(1, name, getattr(self, name))
        for name in ("steps_per_task", "checkpoint_every", "eval_every"):
            if getattr(self, name) is not None:
                _at_least(1, name, getattr(self, name))
        for name in ("task", "task_seed", "seed", "env_restarts"):
            if getattr(self, name) is not None:
                _at_least(0, name, getattr(self, name))
        if self.threads > 1024:
            raise ValueError(f"`threads` should be at most 1024. Received {self.threads}")

    @property
    def seeds(self) -> range:
        """The seeds of the run."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def agent_config(self) -> DQNConfig | SACConfig:
        """The settings of the chosen agent."""
        settings: DQNConfig | SACConfig = getattr(self, self.agent)
        return settings

    @property
    def remedies(self) -> dict[str, MitigationConfig]:
        """The settings of the chosen remedies, by name."""
        return {name: getattr(self, section(name)) for name in self.mitigation}

    def activations(self) -> set[str]:
        """Returns the names of all activations that the networks use."""
        if self.agent == "dqn":
            return {self.activation}
        own = (self.sac.actor_activation, self.sac.critic_activation)
        return {name or self.activation for name in own}

    def unused(self) -> dict[str, str]:
        """Returns the sections and settings that this run does not use, each with the reason."""
        reasons = {}
        for agent in AGENTS:
            if agent != self.agent:
                reasons[agent] = f"agent {self.agent} does not use it"
        if not any(name.startswith("adalin-") for name in self.activations()):
            reasons["adalin"] = f"activation {self.activation} does not use it"
        for name in MITIGATIONS:
            if name not in self.mitigation:
                reasons[section(name)] = f"it needs --mitigation {name}"
        if "simba" in self.mitigation and not self.simba.networks:
            reasons[f"{self.agent}.hidden"] = "simba has widths of its own"
        benchmark = find_benchmark(self.env)
        if benchmark is None:
            for name in ("steps_per_task", "task", "task_seed", "show_task", "on_switch"):
                reasons[name] = f"environment {self.env} does not change"
        elif not benchmark.drawn:
            reasons["task_seed"] = f"the tasks of {self.env} are not drawn"
        if self.task is not None:
            for name in ("steps_per_task", "on_switch"):
                reasons[name] = f"the environment stays at task {self.task}"
        if not any(expansion(name) > 1 for name in self.activations()):
            reasons["halve_widths"] = f"activation {self.activation} keeps the width"
        if self.probe.refit_every is None:
            reasons["probe.refit_steps"] = "it needs --probe.refit-every"
        if self.eval_every is None:
            reasons["eval_episodes"] = "it needs --eval-every"
        if self.agent == "sac":
            if self.sac.actor_activation and self.sac.critic_activation:
                reasons["activation"] = "actor and critic have activations of their own"
            if not self.sac.learn_temperature:
                reasons["sac.target_entropy"] = "the temperature is not learned"
        return reasons

    def used(self) -> dict[str, Any]:
        """Returns the settings of the run as plain nested values; a preset that gives it again."""
        settings = asdict(self)
        for name in self.unused().keys() - {"activation"}:
            within, _, last = name.rpartition(".")
            (settings.get(within, {}) if within else settings).pop(last, None)
        return settings


def expansion(activation: str) -> int:
    """How many outputs an activation has for each unit; 1 if there is none of that name."""
    return make_activation(activation, 1).expansion if activation in ACTIVATIONS else 1


def section(mitigation: str) -> str:
    """The section of a remedy's settings: ``l2_init`` of ``l2-init``."""
    return mitigation.replace("-", "_")


def _at_least(least: int, name: str, value: int) -> None:
    if value < least:
        raise ValueError(f"`{name}` should be at least {least}. Received {value}")
