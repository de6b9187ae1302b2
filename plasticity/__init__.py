"""What is watched and mended: metrics, the probe that logs them, and remedies by name."""

from plasticity import metrics
from plasticity.metrics import *  # noqa: F403  # every metric
from plasticity.mitigations import MITIGATIONS, Mitigation, Mitigations, seams
from plasticity.probe import Probe, ProbeConfig
from plasticity.watch import UpdateWatch

__all__ = [
    *metrics.__all__,
    "MITIGATIONS",
    "Mitigation",
    "Mitigations",
    "Probe",
    "ProbeConfig",
    "UpdateWatch",
    "seams",
]
