"""The probe and the remedies for stable-baselines3, as callbacks."""

from plasticity.sb3.callback import PlasticityCallback
from plasticity.sb3.mitigation import MitigationCallback

__all__ = ["MitigationCallback", "PlasticityCallback"]
