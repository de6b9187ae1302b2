"""The loop, and what it writes."""

from training.finite import NonFiniteError
from training.trainer import Trainer

__all__ = ["NonFiniteError", "Trainer"]
