"""What is mended: remedies for lost plasticity, chosen by name and combined."""

from plasticity.mitigations.attach import Mitigations
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject
from plasticity.mitigations.registry import MITIGATIONS, Entry, check_pairs
from plasticity.mitigations.seams import seams

__all__ = [
    "MITIGATIONS",
    "Entry",
    "Mitigation",
    "MitigationConfig",
    "Mitigations",
    "Subject",
    "check_pairs",
    "seams",
]
