"""The settings of a run, and the presets beside this file."""

from configs.parsing import DEFAULT, FOLDER, differences, parse
from configs.presets import read_yaml
from configs.schema import Config

__all__ = ["DEFAULT", "FOLDER", "Config", "differences", "parse", "read_yaml"]
