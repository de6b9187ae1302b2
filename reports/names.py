"""Names in ``metrics.csv``: which ones a report knows, which ones it needs, and as what."""

from __future__ import annotations

import re
from typing import NamedTuple

from plasticity.metrics import describe

ALPHA = "alpha_mean"
"""AdaLin's alpha, mean over the layers of a network."""
INSIDE = {
    "dormant_fraction@0.1": "dormant neurons (%)",
    "effective_rank": "effective rank of the features",
    "weight_rms": "weights, root mean square",
    "feature_norm": "norm of the features",
    ALPHA: "alpha, mean of the layers",
}
"""What is drawn over time of each network, with its axis label."""
PERCENT = ("fraction", "churn", "overlap")
"""Parts of names of shares, which are shown in percent."""
CURVES = {
    "return/episode": "return of an episode",
    "train/accuracy": "accuracy before each update (share)",
    "eval/average_performance": "mean normalised return over all tasks",
}
"""What is drawn over time, with its axis label."""

_NEEDED = {*CURVES, "return/length", "accuracy/online", "accuracy/train", "accuracy/test"}
_KNOWN = re.compile(
    r"accuracy/average|train/.+|mitigation/.+|eval/(return|normalized)/task_\d+"
    r"|adalin/[^/]+/.+/alpha_(mean|min|max|abs)"
)
_VARIANT = re.compile(r"@(?!0\.1$)|^dormant_fraction_of_layers")
"""The same metric with another threshold, or pooled otherwise: one stands for all."""
_INSIDE = re.compile(r"plasticity/([^/]+)/([^/]+)(/.+)?")
_ALPHA = re.compile(rf"adalin/([^/]+)/[^/]+/{ALPHA}")


class Inside(NamedTuple):
    """A metric of a network."""

    network: str
    metric: str

    @property
    def label(self) -> str:
        return f"{self.metric} of {self.network}"


def inside(name: str) -> Inside | None:
    """Returns the metric of a network that a name stands for; None if it is something else.

    All layers of a network share its alpha; other metrics of single layers are left out, and so
    are shares of units with another threshold than 0.1.
    """
    found = _ALPHA.fullmatch(name)
    if found:
        return Inside(found[1], ALPHA)
    found = _INSIDE.fullmatch(name)
    if found and found[3] is None and _is_metric(found[2]) and not _VARIANT.search(found[2]):
        return Inside(found[1], found[2])
    return None


def is_needed(name: str) -> bool:
    """Whether a report reads the values of a name."""
    return name in _NEEDED or inside(name) is not None


def is_known(name: str) -> bool:
    """Whether this version writes such a name."""
    if is_needed(name) or _KNOWN.fullmatch(name):
        return True
    found = _INSIDE.fullmatch(name)
    return found is not None and _is_metric(found[2])


def factor(metric: str) -> float:
    """By what a value is multiplied where it is shown: shares become percent."""
    return 100.0 if any(part in metric for part in PERCENT) else 1.0


def _is_metric(metric: str) -> bool:
    if metric == "grad_norm":
        return True
    try:
        describe(metric)
    except ValueError:
        return False
    return True
