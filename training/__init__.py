"""The loop, and what it writes."""

from training.finite import NonFiniteError
from training.supervised import SupervisedTrainer
from training.trainer import Trainer
from training.worlds import WorldError

__all__ = ["NonFiniteError", "SupervisedTrainer", "Trainer", "WorldError"]
