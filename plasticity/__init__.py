"""What is watched: plasticity metrics as plain functions, and the probe that logs them."""

from plasticity.metrics import (
    alpha_statistics,
    dead_fraction,
    dead_mask,
    dormant_fraction,
    dormant_mask,
    effective_rank,
    feature_norm,
    linear_fraction,
    srank_001,
    weight_change,
    weight_rms,
)
from plasticity.mitigations import MITIGATIONS, Mitigation
from plasticity.probe import Probe, ProbeConfig

__all__ = [
    "MITIGATIONS",
    "Mitigation",
    "Probe",
    "ProbeConfig",
    "alpha_statistics",
    "dead_fraction",
    "dead_mask",
    "dormant_fraction",
    "dormant_mask",
    "effective_rank",
    "feature_norm",
    "linear_fraction",
    "srank_001",
    "weight_change",
    "weight_rms",
]
