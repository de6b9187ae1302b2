"""What agents are made of: AdaLin and other activations, layers, torsos, heads."""

from networks.activations import ACTIVATIONS, AdaLinConfig, make_activation
from networks.adalin import AdaLin, share_alpha
from networks.bases import BASES, Base, make_base
from networks.convert import adalinize
from networks.heads import GaussianActor, QNetwork, TwinCritic
from networks.initialization import initialize
from networks.torsos import Architecture

__all__ = [
    "ACTIVATIONS",
    "BASES",
    "AdaLin",
    "AdaLinConfig",
    "Architecture",
    "Base",
    "GaussianActor",
    "QNetwork",
    "TwinCritic",
    "adalinize",
    "initialize",
    "make_activation",
    "make_base",
    "share_alpha",
]
