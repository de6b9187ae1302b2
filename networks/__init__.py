"""What agents are made of: AdaLin and other activations, layers, torsos, heads."""

from networks.activations import ACTIVATIONS, AdaLinConfig, make_activation
from networks.adalin import AdaLin
from networks.heads import GaussianActor, QNetwork, TwinCritic
from networks.initialization import initialize
from networks.torsos import Architecture

__all__ = [
    "ACTIVATIONS",
    "AdaLin",
    "AdaLinConfig",
    "Architecture",
    "GaussianActor",
    "QNetwork",
    "TwinCritic",
    "initialize",
    "make_activation",
]
