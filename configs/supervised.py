"""The settings of continual supervised learning: ``python supervise.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from configs.schema import RunConfig, at_least


@dataclass(frozen=True)
class SupervisedConfig(RunConfig):
    """Settings of one run."""

    stream: Literal["random-label", "permuted", "shuffled", "class-split", "class-incremental"] = (
        "random-label"
    )
    """How the tasks differ, one of --list-streams."""
    data: Literal["digits", "mnist", "fashion-mnist", "cifar-10", "cifar-100"] = "digits"
    """The images; all but digits are read from --data-dir."""
    data_dir: str | None = None
    """Folder with the published files of the data set."""
    num_tasks: int = 20
    """Tasks in a row."""
    images_per_task: int | None = None
    """Training images of a task; None: all that it has."""
    classes_per_task: int | None = None
    """New classes of each task of class-split and class-incremental; None: 5 if the data has at
    least 50 classes, else 2 (or 1 if 2 does not divide them)."""
    epochs: int = 1
    """How often each image of a task is learned from."""
    batch_size: int = 16
    """Images of each seed in one update."""
    augment: bool = False
    """Shift images by up to 4 pixels and mirror half of them, at random."""
    network: Literal["mlp", "cnn", "resnet-18"] = "mlp"
    """What learns."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the dense hidden layers."""
    norm: Literal["batch", "group"] = "batch"
    """Normalisation of resnet-18."""
    width: int = 64
    """Channels of the first stage of resnet-18."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Gradient descent, or Adam."""
    learning_rate: float = 1e-2
    """Step size of the optimizer."""
    momentum: float = 0.0
    """Momentum of sgd, at least 0 and below 1."""
    program: ClassVar[str] = "supervise.py"
    description: ClassVar[str] = """Train a classifier on tasks that follow one another.

    Also: --config FILE (a YAML preset; flags after it win), --sweep-lr LR LR ... (a run for each),
    --list-streams, --list-data, --list-activations, --list-mitigations."""
    extends: ClassVar[str] = "num_tasks"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_tasks", "epochs", "batch_size", "width"):
            at_least(1, name, getattr(self, name))
        for name in ("images_per_task", "classes_per_task"):
            if getattr(self, name) is not None:
                at_least(1, name, getattr(self, name))
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                f"`learning_rate` should be positive and finite. Received {self.learning_rate}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` should be in [0, 1). Received {self.momentum}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"`hidden` should hold positive widths. Received {self.hidden}")

    @property
    def title(self) -> str:
        return f"{self.stream}-{self.data}-{self.activation}"

    @property
    def updates(self) -> float:
        images = self.images_per_task or 0  # how many there are is not known yet
        return self.num_tasks * self.epochs * (images // self.batch_size)

    @property
    def compiles_well(self) -> bool:
        return self.network == "mlp"

    def check_names(self) -> None:
        if "sample-weight-decay" in self.mitigation:
            raise ValueError("mitigation sample-weight-decay needs a replay, and there is none")

    def unused(self) -> dict[str, str]:
        reasons = super().unused()
        if self.data == "digits":
            reasons["data_dir"] = "digits come with scikit-learn"
        if self.stream not in ("class-split", "class-incremental"):
            reasons["classes_per_task"] = f"stream {self.stream} has all classes in each task"
        if self.network != "resnet-18":
            for name in ("norm", "width"):
                reasons[name] = f"network {self.network} does not use it"
        else:
            reasons["hidden"] = "resnet-18 has no dense hidden layers"
        if "simba" in self.mitigation:
            reasons["hidden"] = "simba has widths of its own"
        if self.optimizer != "sgd":
            reasons["momentum"] = f"optimizer {self.optimizer} does not use it"
        for name in ("simba", "upgd", "kron"):
            if name in self.mitigation:
                for setting in ("optimizer", "momentum"):
                    reasons[setting] = f"{name} brings an optimizer of its own"
        return reasons
