"""Remedies for lost plasticity by name: one entry each, and which can't be combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, product
from typing import Any

from networks import Architecture
from plasticity.mitigations import (
    architecture,
    churn,
    continual_backprop,
    injection,
    kron,
    projections,
    recycling,
    regularizers,
    replay,
    resets,
    self_normalized,
    singular_values,
    trac,
    upgd,
)
from plasticity.mitigations.base import Mitigation, MitigationConfig
from plasticity.mitigations.optimizers import MakeOptimizer

Changed = Callable[[Any, str, Architecture], Architecture]
"""From settings, the name of a network and its usual architecture to another one."""
Wrapped = Callable[[Any, MakeOptimizer, Sequence[int]], MakeOptimizer]
"""From settings, the usual way to make an optimizer and the seeds to another way."""


@dataclass(frozen=True)
class Entry:
    """A row of ``--list-mitigations``.

    Attributes:
        config: Class of its settings.
        seam: Where it takes hold: architecture, gradient, surgery, optimizer or replay.
        description: What it does, in one line.
        source: The paper, by its arXiv number where it has one.
        tested: What its tests compare it with.
        make: What works on each network while it learns.
        architecture: How it changes what a network is made of.
        optimizer: How it changes the optimizer.
    """

    config: type[MitigationConfig]
    seam: str
    description: str
    source: str
    tested: str
    make: type[Mitigation[Any]] | None = None
    architecture: Changed | None = None
    optimizer: Wrapped | None = None

    @property
    def defaults(self) -> str:
        """Its settings and their defaults in one line."""
        settings = [f for f in fields(self.config) if f.name != "networks"]
        return ", ".join(f"{f.name.replace('_', '-')} {f.default}" for f in settings)


MITIGATIONS: dict[str, Entry] = {
    "layer-norm": Entry(
        architecture.LayerNormConfig,
        "architecture",
        "normalises before every activation",
        "2303.01486",
        "`torch.nn.LayerNorm`, seed by seed",
        make=architecture.Gains,
        architecture=architecture.layer_norm,
    ),
    "simba": Entry(
        architecture.SimBaRemedyConfig,
        "architecture",
        "residual blocks over normalised observations, AdamW",
        "2410.09754",
        "a plain PyTorch network; `numpy.mean`, `numpy.var`",
        make=architecture.SimBaStatistics,
        architecture=architecture.simba,
        optimizer=architecture.simba_optimizer,
    ),
    "nap": Entry(
        projections.NaPConfig,
        "architecture",
        "LayerNorm, and weights keep their first norm",
        "2407.01800",
        "norms by NumPy",
        make=projections.NaP,
        architecture=projections.nap_architecture,
    ),
    "l2": Entry(
        regularizers.L2Config,
        "gradient",
        "pulls weights toward zero",
        "Krogh & Hertz 1991",
        "autograd of the penalty, float64",
        make=regularizers.L2,
    ),
    "l2-init": Entry(
        regularizers.L2InitConfig,
        "gradient",
        "pulls weights toward their first values",
        "2308.11958",
        "autograd of the penalty, float64",
        make=regularizers.L2Init,
    ),
    "wasserstein": Entry(
        regularizers.WassersteinConfig,
        "gradient",
        "pulls the distribution of weights toward the first one",
        "2312.00246",
        "autograd of the penalty, float64",
        make=regularizers.Wasserstein,
    ),
    "parseval": Entry(
        singular_values.ParsevalConfig,
        "gradient",
        "keeps the rows of hidden weights orthogonal",
        "2412.07224",
        "autograd of the penalty, float64",
        make=singular_values.Parseval,
    ),
    "spectral": Entry(
        singular_values.SpectralConfig,
        "gradient",
        "keeps the largest singular value of weights at 1",
        "2406.06811",
        "`torch.linalg.matrix_norm`; autograd, float64",
        make=singular_values.Spectral,
    ),
    "c-chain": Entry(
        churn.CChainConfig,
        "gradient",
        "holds down what an update changes elsewhere",
        "2506.00592",
        "autograd of the penalty by hand",
        make=churn.CChain,
    ),
    "shrink-perturb": Entry(
        resets.ShrinkPerturbConfig,
        "surgery",
        "shrinks weights and adds a new initialisation",
        "1910.08475",
        "the mix by hand; which tensors stay",
        make=resets.ShrinkPerturb,
    ),
    "reset": Entry(
        resets.ResetConfig,
        "surgery",
        "starts networks and optimizers anew, the replay stays",
        "2205.07802",
        "new initialisation, step counts, target",
        make=resets.Reset,
    ),
    "redo": Entry(
        recycling.ReDoConfig,
        "surgery",
        "restarts units that put out next to nothing",
        "2302.12902",
        "every entry of weights and moments by hand; scores by NumPy",
        make=recycling.ReDo,
    ),
    "regrama": Entry(
        recycling.ReGraMaConfig,
        "surgery",
        "restarts units with next to no gradient",
        "2505.24061",
        "scores of the gradients by NumPy",
        make=recycling.ReGraMa,
    ),
    "continual-backprop": Entry(
        continual_backprop.ContinualBackpropConfig,
        "surgery",
        "restarts a trickle of the least useful units",
        "Dohare et al. 2024",
        "a loop over units in NumPy",
        make=continual_backprop.ContinualBackprop,
    ),
    "snr": Entry(
        self_normalized.SelfNormalizedResetConfig,
        "surgery",
        "restarts units that are silent for longer than is usual for them",
        "2410.20098",
        "loops and percentiles of NumPy",
        make=self_normalized.SelfNormalizedReset,
    ),
    "plasticity-injection": Entry(
        injection.PlasticityInjectionConfig,
        "surgery",
        "adds a new head, predictions stay",
        "2305.15555",
        "outputs before and after, tensor by tensor",
        make=injection.PlasticityInjection,
    ),
    "weight-clipping": Entry(
        projections.WeightClippingConfig,
        "surgery",
        "keeps weights within kappa / sqrt(inputs)",
        "2407.01704",
        "bounds by hand",
        make=projections.WeightClipping,
    ),
    "hare-tortoise": Entry(
        resets.HareTortoiseConfig,
        "surgery",
        "returns weights to their slow average",
        "2406.02596",
        "a NumPy average",
        make=resets.HareTortoise,
    ),
    "fire": Entry(
        resets.FIREConfig,
        "surgery",
        "makes all weights orthogonal",
        "2602.08040",
        "the scalar rule on singular values; polar factor",
        make=resets.FIRE,
    ),
    "upgd": Entry(
        upgd.UPGDConfig,
        "optimizer",
        "disturbs useless weights, spares useful ones",
        "2404.00781",
        "two steps by hand, a NumPy loop",
        make=upgd.UPGDGate,
        optimizer=upgd.upgd_optimizer,
    ),
    "trac": Entry(
        trac.TRACConfig,
        "optimizer",
        "scales the way from the first weights, without settings",
        "2405.16642",
        "a NumPy implementation with SciPy's erfi",
        make=trac.TRACScale,
        optimizer=trac.trac_optimizer,
    ),
    "kron": Entry(
        kron.KronConfig,
        "optimizer",
        "preconditioned descent (PSGD), of pytorch-optimizer",
        "1512.04202",
        "the library on each seed and twin alone",
        make=kron.KronMomentum,
        optimizer=kron.kron_optimizer,
    ),
    "sample-weight-decay": Entry(
        replay.SampleWeightDecayConfig,
        "replay",
        "draws newer transitions more often",
        "2604.01913",
        "the cumulative sum of the weights",
    ),
}

OF_UNITS = ("redo", "regrama", "continual-backprop", "snr")
_ANEW = ("reset", "fire", "shrink-perturb")
_EDITS = (*_ANEW, *OF_UNITS, "hare-tortoise", "plasticity-injection", "weight-clipping", "nap")


def _conflicts() -> Iterator[tuple[tuple[str, str], str]]:
    """Yields pairs that can't be combined, and why not."""
    for pair in combinations(("upgd", "kron", "simba"), 2):
        yield pair, "each brings an optimizer of its own"
    for pair in product(("layer-norm", "nap"), ("simba",)):
        yield pair, "SimBa has its own LayerNorm"
    yield ("layer-norm", "nap"), "nap has LayerNorm already"
    for pair in combinations(OF_UNITS, 2):
        yield pair, "both restart units, and one would not know of the other's"
    for pair in product(OF_UNITS, ("plasticity-injection",)):
        yield pair, "frozen heads would still read the units that are restarted"
    for pair in product(("reset", "fire"), ("plasticity-injection",)):
        yield pair, "the frozen head would stay in a network that is made anew"
    for pair in product(("simba",), ("plasticity-injection",)):
        yield pair, "SimBa has no dense layers in a row to make a head of"
    for pair in product(("hare-tortoise",), (*_ANEW, *OF_UNITS, "plasticity-injection")):
        yield pair, "the slow weights would bring back what was changed"
    for pair in product(("trac",), _EDITS):
        yield pair, "TRAC takes edits of weights for steps of its own, and undoes them"
    yield ("nap", "fire"), "nap takes away the norms that fire gives"
    yield ("nap", "weight-clipping"), "both set the size of the weights"


CONFLICTS = {frozenset(pair): reason for pair, reason in _conflicts()}
"""Pairs that can't be combined, and why not."""


def check_pairs(names: Sequence[str]) -> None:
    """Raises a ValueError for the first two remedies that can't be combined; says why."""
    for first, second in combinations(names, 2):
        reason = CONFLICTS.get(frozenset((first, second)))
        if reason:
            raise ValueError(f"mitigations {first} and {second} can't be combined: {reason}")
