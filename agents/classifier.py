"""A classifier that learns labels by cross-entropy: what learns on supervised streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.agent import USUAL, Learner, Seams, Streams
from agents.descent import compiled, descend, is_plain
from networks import initialize

Source = TypeVar("Source", bound=tuple[Any, ...])


class Examples(NamedTuple):
    """Labelled images of all seeds.

    Attributes:
        images: Bytes ``(S, B, C, H, W)``.
        label: Indices of outputs, ``(S, B)``.
        classes: The outputs that are in play, ``(S, K)``; the others count as minus infinity.
    """

    images: Tensor
    label: Tensor
    classes: Tensor


class Classifier:
    """Learns to name images, for S seeds side by side.

    Args:
        network: From images ``(S, B, C, H, W)`` to logits ``(S, B, K)``.
        seeds: The seeds, by which it is initialised.
        learning_rate: Step size.
        seams: How its optimizer is made.
        device: Where the network lies.
    """

    def __init__(
        self,
        network: nn.Module,
        seeds: Sequence[int],
        learning_rate: float,
        *,
        seams: Seams = USUAL,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        initialize(network, Streams(seeds, "initialize").generators)
        network.to(device)
        self.optimizer = seams.optimizer("classifier", list(network.parameters()), learning_rate)

    def update(self, source: Source, gather: Callable[[Source], Examples]) -> dict[str, Tensor]:
        """Learns from a batch.

        Args:
            source: Where its examples lie.
            gather: Makes the batch of the source; it is compiled with the update.

        Returns:
            Detached metrics ``(S,)`` by name; ``accuracy`` is that before the update.
        """
        loss, accuracy = self.loss(gather(source))
        norm = descend(loss, self.optimizer, None)
        return {
            "loss/classifier": loss.detach(),
            "accuracy": accuracy,
            "grad_norm/classifier": norm,
        }

    def loss(self, batch: Examples) -> tuple[Tensor, Tensor]:
        """Returns the mean cross-entropy and the share of right answers, both ``(S,)``."""
        logits = self.logits(batch)  # (S, B, K)
        each = F.cross_entropy(logits.flatten(0, 1), batch.label.flatten(), reduction="none")
        right = (logits.detach().argmax(-1) == batch.label).to(logits.dtype)  # (S, B)
        return each.view_as(batch.label).mean(-1), right.mean(-1)

    def logits(self, batch: Examples) -> Tensor:
        """Returns the logits ``(S, B, K)`` of the outputs in play."""
        logits: Tensor = self.network(batch.images)
        return logits.masked_fill(~batch.classes.unsqueeze(1), -torch.inf)

    @torch.no_grad()
    def right(self, batch: Examples) -> Tensor:
        """Returns which answers are right, ``(S, B)``, in evaluation mode."""
        self.network.eval()
        try:
            return self.logits(batch).argmax(-1) == batch.label
        finally:
            self.network.train()

    def learners(self) -> dict[str, Learner]:
        """Returns the network that learns, by name."""
        return {
            "classifier": Learner(
                self.network,
                self.optimizer,
                inputs=lambda batch: (batch.images,),
                actions=lambda logits: logits.argmax(-1),
                # never the compiled one
                loss=lambda batch, *_: Classifier.loss(self, batch)[0],
                labelled=True,
            )
        }

    def compile(self) -> None:
        """Compiles the update with torch.compile when it is called first, for these shapes."""
        if is_plain(self.optimizer):
            self.update = compiled(self.update)  # type: ignore[method-assign]  # same signature
        else:  # a remedy acts between gradient and step
            self.loss = compiled(self.loss)  # type: ignore[method-assign]  # same signature

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that learning goes on from."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        for name in ("network", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
