"""What a run goes on from, and how it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from agents import recipe
from agents.saving import DamagedError
from training.worlds import WorldError

if TYPE_CHECKING:
    from training.trainer import Trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Returns all that a run goes on from, but for the rows of the replay."""
    own = {
        "step": trainer.step,
        "born": trainer.born,
        "looked": trainer.looked,
        "seconds": trainer.progress.seconds,
        "dormant": trainer.dormant,
        "metrics": trainer.metrics,
    }
    if trainer.actions is not None:
        own["actions"] = torch.from_numpy(trainer.actions)
    config = trainer.config
    return {
        "trainer": own,
        "recipe": recipe(config.agent, trainer.agent, trainer.spaces, config.seeds),
        "tracker": trainer.tracker.state_dict(),
        "worlds": trainer.worlds.state_dict(),
        **{name: part.state_dict() for name, part in _parts(trainer).items()},
    }


def go_on(trainer: Trainer) -> Mapping[str, Any]:
    """Brings a new trainer to the last checkpoint; returns what its tracker goes on from.

    Raises:
        ValueError: If there is none that is sound, or it is not of this run.
    """
    taken: dict[str, Any] = {}

    def take(state: dict[str, Any]) -> None:
        _take(trainer, state)
        taken.update(state)

    try:
        problems = trainer.checkpoints.load(take)
        trainer.obs, same = trainer.worlds.load_state_dict(taken["worlds"])
    except (DamagedError, WorldError) as error:
        raise ValueError(str(error)) from error
    if not same:
        problems.append(
            "the environment does not repeat itself: its episodes begin anew, and the run goes on "
            "another way than it would have"
        )
        trainer.begin_anew()
    for problem in problems:
        trainer.warn(problem)
    tracked: Mapping[str, Any] = taken["tracker"]
    return tracked


def _take(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Takes over a state, but for environments and files."""
    own = state["trainer"]
    trainer.step, trainer.born = int(own["step"]), int(own["born"])
    trainer.looked, trainer.dormant = bool(own["looked"]), float(own["dormant"])
    trainer.seconds_before = float(own["seconds"])
    trainer.metrics = {name: value.to(trainer.device) for name, value in own["metrics"].items()}
    trainer.actions = own["actions"].numpy() if "actions" in own else None
    trainer.make_agent()  # a state may have been half taken before it turned out to be damaged
    for name, part in _parts(trainer).items():
        part.load_state_dict(state[name])


def _parts(trainer: Trainer) -> dict[str, Any]:
    """What has a state; remedies may change networks, so they come before the agent."""
    parts = {
        "mitigations": trainer.mitigations,
        "agent": trainer.agent,
        "replay": trainer.replay,
        "probe_streams": trainer.probe_streams,
        "probe": trainer.probe,
        "watch": trainer.watch,
        "episodes": trainer.episodes,
        "summary": trainer.summary,
    }
    return parts | {"evaluator": trainer.evaluator} if trainer.evaluator else parts
