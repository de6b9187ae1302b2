"""The settings of a run, and the presets beside this file."""

from collections.abc import Sequence

from configs.messages import one_line
from configs.parsing import DEFAULT, FOLDER, as_flags, differences, parse_as
from configs.presets import read_yaml
from configs.reinforcement import Config
from configs.schema import RunConfig
from configs.supervised import SupervisedConfig


def parse(args: Sequence[str]) -> Config:
    """Reads the command line of ``train.py``; see ``parse_as``."""
    return parse_as(Config, args)


__all__ = [
    "DEFAULT",
    "FOLDER",
    "Config",
    "RunConfig",
    "SupervisedConfig",
    "as_flags",
    "differences",
    "one_line",
    "parse",
    "parse_as",
    "read_yaml",
]
