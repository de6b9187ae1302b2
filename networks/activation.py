"""What every activation of the registry tells: its axes, how many outputs it has, its slope."""

from __future__ import annotations

from torch import Tensor, nn

from networks.bases import Base


class Activation(nn.Module):
    """An activation behind F units: ``(*lead, ..., F, ...)`` to ``(*lead, ..., E F, ...)``.

    Attributes:
        dim: The axis of the units, negative.
        lead: Leading axes of independent copies, see ``AdaLin``.
        expansion: Outputs of each unit E, 1 or 2. Output ``j`` belongs to unit ``j % F``: all first
            outputs, then all second ones.
        base: The elementwise function with its slope and Lipschitz constant, or None if there is
            no such function or constant.
    """

    expansion: int = 1
    base: Base | None = None

    def __init__(self, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.dim = dim
        self.lead = lead

    def slope_share(self, x: Tensor) -> Tensor | None:
        """``|phi'(x)| / L`` of each output, in [0, 1], without gradient.

        Args:
            x: Pre-activations, ``(*lead, ..., F, ...)``.

        Returns:
            A tensor of the shape of the outputs, or None where there is no Lipschitz constant L.
        """
        if self.base is None:
            return None
        return self.base.derivative(x.detach()).abs() / self.base.lipschitz
