"""Activations that draw random numbers while they learn, for each seed from a stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import torch
from torch import Tensor

from networks.activation import Activation
from networks.initialization import Generators


class Stochastic(Activation):
    """Base of activations with a random and a deterministic form.

    They are random only in training mode and where a gradient may be taken. So acting, targets and
    measurements, which run under ``no_grad``, are deterministic and draw nothing. The states of the
    streams are part of ``state_dict``: ``(S, N)`` bytes.

    Attributes:
        generators: One for each index of the first leading axis; a single one without such axes.
    """

    def __init__(self, dim: int = -1, lead: tuple[int, ...] = ()) -> None:
        super().__init__(dim, lead)
        self.generators = [torch.Generator() for _ in range(lead[0] if lead else 1)]
        self.reset_parameters()

    def reset_parameters(self, generators: Generators | None = None) -> None:
        """Seeds each stream by a draw from the generator of its seed, or from PyTorch's own."""
        given = repeat(None, len(self.generators)) if generators is None else generators
        for own, source in zip(self.generators, given, strict=True):
            device = None if source is None else source.device
            seed = torch.randint(2**63 - 1, (), generator=source, device=device)
            own.manual_seed(int(seed))

    @property
    def random(self) -> bool:
        """Whether the next forward pass is random."""
        return self.training and torch.is_grad_enabled()

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # compilers know no generators
    def uniform(self, x: Tensor) -> Tensor:
        """Draws from U[0, 1), a number for each element of ``x``."""
        # Not empty_like: the numbers should not depend on how x lies in memory.
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for part, generator in zip(
            out if self.lead else out.unsqueeze(0), self.generators, strict=True
        ):
            part.uniform_(generator=generator)
        return out

    def get_extra_state(self) -> Tensor:
        return torch.stack([generator.get_state() for generator in self.generators])

    def set_extra_state(self, state: Tensor) -> None:
        for generator, row in zip(self.generators, state.cpu(), strict=True):
            generator.set_state(row.clone())  # aligned: PyTorch reads words, a file has bytes

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Stochastic:
        """Follows the module to another device, where new streams are seeded by the old ones."""
        device = fn(torch.empty(0, device=self.generators[0].device)).device
        if device != self.generators[0].device:
            old = self.generators
            self.generators = [torch.Generator(device) for _ in old]
            Stochastic.reset_parameters(self, old)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
