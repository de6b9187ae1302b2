"""What agents are made of: AdaLin and other activations, layers, torsos, heads."""

from networks.activations import (
    ACTIVATIONS,
    Activation,
    AdaLinConfig,
    describe,
    make_activation,
)
from networks.adalin import AdaLin, share_alpha
from networks.bases import BASES, Base, make_base
from networks.classifiers import CLASSIFIERS, make_classifier
from networks.convert import adalinize
from networks.heads import GaussianActor, QNetwork, TwinCritic
from networks.initialization import initialize
from networks.simba import observe
from networks.torsos import Architecture, SimBaConfig

__all__ = [
    "ACTIVATIONS",
    "BASES",
    "CLASSIFIERS",
    "Activation",
    "AdaLin",
    "AdaLinConfig",
    "Architecture",
    "Base",
    "GaussianActor",
    "QNetwork",
    "SimBaConfig",
    "TwinCritic",
    "adalinize",
    "describe",
    "initialize",
    "make_activation",
    "make_base",
    "make_classifier",
    "observe",
    "share_alpha",
]
