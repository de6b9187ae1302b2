"""The rules that settings of agents keep, each written once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

Rule = tuple[Callable[[Any], bool], str]

AT_LEAST_ONE: Rule = (lambda x: x >= 1, "be at least 1")
AT_LEAST_ZERO: Rule = (lambda x: x >= 0, "be at least 0")
POSITIVE: Rule = (lambda x: x > 0, "be positive")
UNIT_INTERVAL: Rule = (lambda x: 0 <= x <= 1, "be in [0, 1]")

RULES: dict[str, Rule] = {
    "learning_rate": POSITIVE,
    "batch_size": AT_LEAST_ONE,
    "buffer_size": AT_LEAST_ONE,
    "learning_starts": AT_LEAST_ZERO,
    "replay_ratio": POSITIVE,
    "learn_every": AT_LEAST_ONE,
    "gamma": UNIT_INTERVAL,
    "n_step": AT_LEAST_ONE,
    "tau": (lambda x: 0 < x <= 1, "be in (0, 1]"),
    "target_every": AT_LEAST_ONE,
    "epsilon_start": UNIT_INTERVAL,
    "epsilon_end": UNIT_INTERVAL,
    "epsilon_steps": AT_LEAST_ZERO,
    "policy_delay": AT_LEAST_ONE,
    "initial_temperature": POSITIVE,
    "max_grad_norm": (lambda x: x is None or x > 0, "be positive or None"),
    "hidden": (lambda widths: all(w >= 1 for w in widths), "hold positive widths"),
}


def check_settings(config: Any) -> None:
    """Checks the settings of an agent, a dataclass, against the rules of their names.

    Raises:
        ValueError: With the name, the rule and the value of the first that breaks one.
    """
    check_rules(config, RULES)
    if config.batch_size > config.buffer_size:
        raise ValueError(
            f"`batch_size` should be at most the buffer_size {config.buffer_size}. "
            f"Received {config.batch_size}"
        )


def check_rules(config: Any, rules: Mapping[str, Rule]) -> None:
    """Checks the fields of a dataclass against rules by name; all numbers should be finite.

    Raises:
        ValueError: With the name, the rule and the value of the first that breaks one.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"`{field.name}` should be finite. Received {value}")
        if field.name in rules:
            holds, rule = rules[field.name]
            if not holds(value):
                raise ValueError(f"`{field.name}` should {rule}. Received {value}")
