"""How large settings may be: a slip or a stranger's preset should not exhaust the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from configs.schema import RunConfig

LARGEST = 1 << 53
"""For all numbers: a 64-bit integer, a 32-bit float and a JSON file hold them."""
MOST = {
    "num_seeds": 1 << 10,
    "num_envs": 1 << 12,
    "eval_episodes": 1 << 12,
    "batch_size": 1 << 20,
    "replay_ratio": 1 << 10,
    "learn_every": 1 << 20,
    "hidden": 1 << 16,
    "actor_width": 1 << 16,
    "critic_width": 1 << 16,
    "actor_blocks": 1 << 8,
    "critic_blocks": 1 << 8,
    "max_age": 1 << 20,
}
"""For settings of these names, in all sections."""
MOST_LAYERS = 1 << 8


def check_sizes(config: RunConfig) -> None:
    """Raises a ValueError for the first setting that is larger than any run needs."""
    for name, value in _leaves(config):
        most = MOST.get(name.rpartition(".")[2], LARGEST)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and abs(number) > most:
                bound = f"at most {most}" if number > 0 else f"at least -{most}"
                raise ValueError(f"`{name}` should be {bound}. Received {number}")
        if name.endswith("hidden") and len(value) > MOST_LAYERS:
            raise ValueError(
                f"`hidden` should have at most {MOST_LAYERS} layers. Received {len(value)}"
            )
    for name, copies, most, where in config.copies():
        if copies > most:
            raise ValueError(f"{name} should be at most {most} {where}. Received {copies}")


def _leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value
