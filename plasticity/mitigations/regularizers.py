"""Penalties on weights, whose gradient joins the one of the loss."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from plasticity.layers import lead_of, weight_layers
from plasticity.mitigations.base import Mitigation, MitigationConfig, Subject, by_seed

C = TypeVar("C", bound=MitigationConfig)


class Regularizer(Mitigation[C]):
    """A penalty on the parameters of layers, summed over layers and twins, for each seed.

    Its gradient is added to the one of the loss before each step of the optimizer, after clipping,
    so it goes through the moments of Adam.  Alphas, gains and biases of normalisations are left
    alone, and so is what has no gradient.  It reports the ``penalty`` of the weights as they are
    then.

    Args:
        config: Its settings.
        subject: The network.
        layers: The layers; default: all dense and convolutional ones.
        biases: Whether to regularise biases, too.

    Attributes:
        parameters: Weights and biases, each ``(*lead, ...)``.
        copies: How many independent tensors L each of them holds: the product of ``lead``.
        outputs: How many outputs O its layer has.

    Raises:
        ValueError: If the network has no such layers.
    """

    def __init__(
        self,
        config: C,
        subject: Subject,
        layers: Iterable[nn.Module] | None = None,
        *,
        biases: bool = True,
    ) -> None:
        super().__init__(config, subject)
        self.parameters: list[nn.Parameter] = []
        self.copies: list[int] = []
        self.outputs: list[int] = []
        for layer in weight_layers(subject.network).values() if layers is None else layers:
            lead = lead_of(layer)
            for name, parameter in layer.named_parameters(recurse=False):
                if biases or name == "weight":
                    self.parameters.append(parameter)
                    self.copies.append(math.prod(lead))
                    self.outputs.append(parameter.shape[len(lead)])
        if not self.parameters:
            raise ValueError("it has no layers to regularise")

    @abstractmethod
    def gradient(self, i: int) -> Tensor:
        """The gradient of the penalty of the i-th parameter, in its shape or as ``(L, ...)``."""

    @abstractmethod
    def penalty(self, i: int) -> Tensor:
        """The penalty of the i-th parameter, ``(*lead, ...)`` or ``(L, ...)``, to be summed."""

    @torch.no_grad()
    def before_step(self) -> None:
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                parameter.grad.add_(self.gradient(i).view_as(parameter))

    @torch.no_grad()
    def report(self) -> dict[str, Tensor]:
        penalties = [
            by_seed(self.penalty(i), self.subject.num_seeds) for i in range(len(self.parameters))
        ]
        return {"penalty": torch.stack(penalties).sum(0)}

    def rows(self, i: int) -> Tensor:
        """The i-th parameter without gradient, a row for each copy, ``(L, n)``."""
        return self.parameters[i].detach().reshape(self.copies[i], -1)

    def matrices(self, i: int) -> Tensor:
        """The i-th parameter without gradient, ``(L, O, I)``; of a convolution, I = C K K."""
        matrices: Tensor = self.rows(i).unflatten(-1, (self.outputs[i], -1))
        return matrices


@dataclass(frozen=True)
class L2Config(MitigationConfig):
    """Settings of l2."""

    strength: float = 1e-3
    """Weight lambda of the penalty lambda/2 |theta|^2."""


class L2(Regularizer[L2Config]):
    """L2 regularisation: pulls every weight toward 0.

    The gradient of ``strength / 2 * sum theta^2`` is ``strength * theta``: the coupled weight decay
    of PyTorch's Adam, for weights and biases of dense and convolutional layers alone.  Studies of
    lost plasticity search strengths from 1e-2 to 1e-5 (Kumar et al. 2023, arXiv 2308.11958, whose
    penalty has no factor 1/2: their strength is half of ours).
    """

    def gradient(self, i: int) -> Tensor:
        return self.config.strength * self.parameters[i]

    def penalty(self, i: int) -> Tensor:
        return self.config.strength / 2 * self.parameters[i].square()


@dataclass(frozen=True)
class L2InitConfig(MitigationConfig):
    """Settings of l2-init."""

    strength: float = 1e-3
    """Weight lambda of the penalty lambda/2 |theta - theta_0|^2."""


class FromTheStart(Regularizer[C]):
    """A regularizer that remembers the first values, as they are when it is attached.

    They stay what they are when other remedies give weights a new start.

    Attributes:
        first: Of each parameter, a row for each copy, ``(L, n)``.
    """

    def __init__(self, config: C, subject: Subject) -> None:
        super().__init__(config, subject)
        self.first = [self.rows(i).clone() for i in range(len(self.parameters))]

    def state_dict(self) -> dict[str, Tensor]:
        return {f"first_{i}": first for i, first in enumerate(self.first)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for i, first in enumerate(self.first):
            first.copy_(state[f"first_{i}"])


class L2Init(FromTheStart[L2InitConfig]):
    """Regenerative regularisation: pulls every weight toward its first value.

    The gradient of ``strength / 2 * sum (theta - theta_0)^2`` is ``strength * (theta - theta_0)``,
    for weights and biases of dense and convolutional layers (Kumar et al. 2023, arXiv 2308.11958).
    The paper regularises all parameters, searches strengths from 1e-2 to 1e-5, and has no factor
    1/2: its strength is half of ours.
    """

    def gradient(self, i: int) -> Tensor:
        return self.config.strength * (self.rows(i) - self.first[i])

    def penalty(self, i: int) -> Tensor:
        return self.config.strength / 2 * (self.rows(i) - self.first[i]).square()


@dataclass(frozen=True)
class WassersteinConfig(MitigationConfig):
    """Settings of wasserstein."""

    strength: float = 1e-3
    """Weight lambda of the mean squared distance of sorted weights from sorted first ones."""


class Wasserstein(FromTheStart[WassersteinConfig]):
    """Wasserstein regeneration: keeps the distribution of the weights, not the weights.

    For each tensor of each seed and twin, with n elements that are ``theta_(i)`` when sorted ::

        strength / n * sum_i (theta_(i) - theta0_(i))^2

    the squared 2-Wasserstein distance of the elements from the first ones (Lewandowski et al. 2023,
    arXiv 2312.00246, as in wechu/parseval_reg, where the strength is 1e-3, too).  The gradient of
    the element of rank i is ``2 strength / n * (theta_(i) - theta0_(i))``.

    The sum is divided by n, so a strength means much less than in ``l2-init``.  That code
    regularises all parameters, here it is weights and biases of dense and convolutional layers.
    """

    def __init__(self, config: WassersteinConfig, subject: Subject) -> None:
        super().__init__(config, subject)
        self.first = [first.sort().values for first in self.first]

    def gradient(self, i: int) -> Tensor:
        ascending, place = self.rows(i).sort()
        pull = torch.empty_like(ascending).scatter_(-1, place, ascending - self.first[i])
        return 2 * self.config.strength / pull.shape[-1] * pull

    def penalty(self, i: int) -> Tensor:
        return self.config.strength * (self.rows(i).sort().values - self.first[i]).square().mean(-1)
