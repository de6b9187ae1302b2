"""Rows of numbers for the logger of stable-baselines3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stable_baselines3.common.logger import HumanOutputFormat, KVWriter, Logger


def write(logger: Logger, step: int, rows: Mapping[str, float], shown: Iterable[str] = ()) -> None:
    """Writes a row at its own step to TensorBoard, CSV and JSON.

    Args:
        logger: The logger of the algorithm.
        step: Environment steps.
        rows: Values by name.
        shown: Names that the console shows; it shortens them to 36 characters, and fails where two
            become equal.
    """
    row: dict[str, Any] = {**rows, "time/total_timesteps": step}
    excluded: dict[str, tuple[str, ...]] = dict.fromkeys(rows, ())
    excluded["time/total_timesteps"] = ("tensorboard",)  # as SB3 does
    for output in logger.output_formats:
        if isinstance(output, KVWriter) and not isinstance(output, HumanOutputFormat):
            output.write(row, excluded, step)
    for name in shown:
        logger.record(name, rows[name], exclude=("tensorboard", "csv", "json"))
