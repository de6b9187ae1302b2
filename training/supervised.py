"""Supervised learning on a stream of tasks."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from agents.classifier import Classifier, Examples
from agents.descent import SGD, adam
from configs import SupervisedConfig
from networks import Architecture, make_classifier
from plasticity import Mitigations, seams
from streams import load, make_stream
from training.accuracy import Accuracies, Meter
from training.dashboard import ACCURACY_GUIDE, accuracy_charts
from training.feed import Feed
from training.finite import to_lists
from training.loop import Loop
from training.reporting import introduce, log_common


class SupervisedTrainer(Loop):
    """Trains a classifier on the tasks of a stream; a step is an update.

    Args:
        config: The settings.
        console: Where progress goes.

    Raises:
        ValueError: If the settings do not fit the data, the machine or the run directory, or what
            is there cannot be gone on with.
    """

    config: SupervisedConfig
    summary: Accuracies

    def __init__(self, config: SupervisedConfig, console: Console) -> None:
        super().__init__(config, console)
        images = load(config.data, Path(config.data_dir) if config.data_dir else None)
        self.stream = make_stream(
            config.stream,
            images,
            images_per_task=config.images_per_task,
            classes_per_task=config.classes_per_task,
        )
        self.feed = Feed(
            images,
            self.stream,
            config.seeds,
            config.num_tasks,
            config.batch_size,
            config.epochs,
            config.augment,
            self.device,
        )
        self.make_agent()
        self.summary = Accuracies(config.seeds)
        self.meter = Meter(self.num_seeds, self.device)
        self.open(None, accuracy_charts(self.num_seeds > 1), ACCURACY_GUIDE)

    def make_agent(self) -> None:
        config = self.config
        usual = partial(_sgd, momentum=config.momentum) if config.optimizer == "sgd" else adam
        changed = seams(
            config.remedies, config.seeds, halve_widths=config.halve_widths, optimizer=usual
        )
        own = Architecture(config.hidden, config.activation, config.adalin)
        network = make_classifier(
            config.network,
            self.feed.train.shape[1:],
            self.stream.num_outputs,
            self.num_seeds,
            changed.architecture("classifier", own),
            norm=config.norm,
            width=config.width,
        )
        self.agent = Classifier(
            network, config.seeds, config.learning_rate, seams=changed, device=self.device
        )
        self.learners = self.agent.learners()
        self.observe_learners(
            Mitigations(
                config.remedies,
                self.learners,
                config.seeds,
                self.feed.sample,
                self.feed.example(),
            )
        )
        if config.compile:
            self.agent.compile()

    def advance(self) -> None:
        """One update on the next images of each seed."""
        shown = self.feed.draw(self.step)
        if self.watch.armed or self.mitigations.observes:
            batch = self.feed.gather(shown)
            self.mitigations.observe(batch.images.cpu().numpy())
            if self.watch.armed:
                self.watch.before(self.learners, batch)
        self.update(lambda: self.agent.update(shown, self.feed.gather))
        self.meter.add(self.metrics["accuracy"])
        self.watch.after(self.learners)
        self.mitigations.after_update()
        self.step += 1
        self.looked = self.step < self.next_look

    def evaluate(self, ends: bool) -> bool:
        if not ends:
            return True
        now = self.summary.now
        found = {"online": self.meter.task(), "train": self._accuracy(test=False)}
        if len(self.feed.tasks[0].test_examples):
            found["test"] = self._accuracy(test=True)
        rows = to_lists(found)
        for name, value in rows.items():
            setattr(now, name, value)
        rows["average"] = self.summary.average()
        named = {f"accuracy/{name}": value for name, value in rows.items()}
        self.tracker.rows(self.step, now.task, now.visit, named)
        self.tracker.widen(0.0, max(rows["online"]))
        return True

    def _accuracy(self, *, test: bool) -> Tensor:
        """Share of right answers on the images of the task, ``(S,)``."""
        parts = [
            ((self.agent.right(batch) & there).sum(1), there.sum(1))
            for batch, there in self.feed.sweep(test=test)
        ]
        right, count = (torch.stack(of).sum(0) for of in zip(*parts, strict=True))
        return right / count

    def on_switch(self) -> None:
        self.feed.open(self.summary.now.task)

    @property
    def total_steps(self) -> int:
        return self.feed.ends[-1]

    def phase(self) -> tuple[int, int]:
        return bisect_right(self.feed.ends, self.step), 0

    def phase_end(self) -> float:
        return self.feed.ends[min(self.phase()[0], len(self.feed.ends) - 1)]

    def probe_batch(self) -> Examples:
        return self.feed.sample(self.config.probe.batch_size, self.probe_streams)

    def print_header(self) -> None:
        config = self.config
        introduce(
            self,
            config.network,
            f"on {config.num_tasks} tasks of {config.stream} {config.data}",
            f"; {self.total_steps:,} updates",
            longer="--num-tasks",
        )

    def log(self) -> None:
        recent = self.meter.recent()
        self.metrics["accuracy"] = recent
        log_common(self)
        self.tracker.flush()
        reached = f"accuracy {float(recent.mean()):.1%}"
        self.progress.show(self.step, self.summary.now.task, reached, self.dormant)

    def results(self) -> dict[str, Any]:
        return self.summary.as_dict()

    def parts(self) -> dict[str, Any]:
        return super().parts() | {"agent": self.agent, "meter": self.meter}

    def took(self, state: Any) -> None:
        self.feed.open(self.summary.now.task)


def _sgd(_: str, parameters: Any, learning_rate: float, momentum: float) -> SGD:
    return SGD(parameters, learning_rate, momentum)
