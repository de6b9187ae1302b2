"""The settings that every run has: nested frozen dataclasses, filled from flags and presets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import tyro

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
class RunConfig(ABC):
    """Settings of every run; a step is one of each environment, or one update of a classifier."""

    activation: str = "adalin-relu"
    """Activation of the hidden layers, one of --list-activations."""
    halve_widths: bool = False
    """Halve hidden layers whose activation has two outputs for each unit (crelu, fourier)."""
    seed: int = 0
    """The first seed; the others follow it."""
    num_seeds: int = 1
    """Seeds trained side by side."""
    run_dir: str | None = None
    """Where the files of the run go; None: a new folder in runs/."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks are; auto: a GPU if there is one."""
    threads: int = 1
    """Threads of PyTorch; for small networks one is fastest."""
    compile: bool = False
    """Compile updates and the choice of actions, which takes up to a minute at the start. Default:
    for runs of at least 50,000 updates without remedies, if there is a C++ compiler; not for Atari,
    cnn and resnet-18."""
    checkpoint_every: int | None = 100_000
    """Steps between two checkpoints, which cut running episodes off; None: save only when the run
    ends or is interrupted."""
    log_every: int = 1_000
    """Steps between two rows of training metrics."""
    mitigation: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A remedy of --list-mitigations; may be given several times."""
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

    program: ClassVar[str]
    """What reads these settings."""
    description: ClassVar[str]
    """What ``--help`` says first."""
    extends: ClassVar[str]
    """The setting that may be larger when a run goes on."""

    def __post_init__(self) -> None:
        for name in ("num_seeds", "threads", "log_every"):
            at_least(1, name, getattr(self, name))
        if self.checkpoint_every is not None:
            at_least(1, "checkpoint_every", self.checkpoint_every)
        at_least(0, "seed", self.seed)
        if self.threads > 1024:
            raise ValueError(f"`threads` should be at most 1024. Received {self.threads}")

    @property
    @abstractmethod
    def title(self) -> str:
        """What the run is about, as a name of a folder."""

    @property
    @abstractmethod
    def updates(self) -> float:
        """Updates of the whole run, if all goes well."""

    @property
    def compiles_well(self) -> bool:
        """Whether compiled updates of its networks have been faster, and soon ready."""
        return True

    @property
    def seeds(self) -> range:
        """The seeds of the run."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def remedies(self) -> dict[str, MitigationConfig]:
        """The settings of the chosen remedies, by name."""
        return {name: getattr(self, section(name)) for name in self.mitigation}

    def activations(self) -> set[str]:
        """Returns the names of all activations that the networks use."""
        return {self.activation}

    def copies(self) -> Iterator[tuple[str, int, int, str]]:
        """Yields what there would be many of, how many, how many there may be, and where."""
        yield from ()

    @abstractmethod
    def check_names(self) -> None:
        """Raises a ValueError for the first name that stands for nothing."""

    def unused(self) -> dict[str, str]:
        """Returns the sections and settings that this run does not use, each with the reason."""
        reasons = {}
        if not any(name.startswith("adalin-") for name in self.activations()):
            reasons["adalin"] = f"activation {self.activation} does not use it"
        for name in MITIGATIONS:
            if name not in self.mitigation:
                reasons[section(name)] = f"it needs --mitigation {name}"
        if not any(expansion(name) > 1 for name in self.activations()):
            reasons["halve_widths"] = f"activation {self.activation} keeps the width"
        if self.probe.refit_every is None:
            reasons["probe.refit_steps"] = "it needs --probe.refit-every"
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


def at_least(least: int, name: str, value: int) -> None:
    """Raises a ValueError for a setting that is less."""
    if value < least:
        raise ValueError(f"`{name}` should be at least {least}. Received {value}")
